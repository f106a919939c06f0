import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runtimes } from "../support/pilotboat.ts";
import { createSandbox, type Sandbox } from "../support/sandbox.ts";

const TEST_LIMIT_MS = 60_000;
/** So many attempts of Envoy, and several rounds of the CA client beside them. */
const ATTEMPTS = /\((?:[5-9]|\d\d) failed attempts/;

describe.each(runtimes())("with the control plane away, on $name", (runtime) => {
  let sandbox: Sandbox;
  beforeAll(async () => {
    sandbox = await createSandbox(runtime);
    await using controlPlane = await sandbox.startControlPlane(); // for its credentials
    controlPlane.kill("SIGTERM");
    await controlPlane.ended;
  });
  afterAll(() => sandbox[Symbol.asyncDispose]());

  const readiness = (): Promise<string> =>
    fetch(`http://127.0.0.1:${sandbox.ports.status}/healthz/ready`, { headers: { connection: "close" } }).then(
      (answer) => answer.text(),
      () => "",
    );

  test(
    "reality 26: the reason is told once by whoever meets it, with a hint, and once more to those who ask",
    async () => {
      await using agent = await sandbox.startProxy();
      await expect.poll(readiness, { timeout: TEST_LIMIT_MS, interval: 200 }).toMatch(ATTEMPTS);
      const told = agent
        .stdout()
        .split("\n")
        .filter(
          (line) =>
            /\t(warn|error)\t/.test(line) && line.includes(`ECONNREFUSED 127.0.0.1:${sandbox.ports.controlPlane}`),
        );
      const asked = told.filter((line) => line.includes("Envoy proxy is NOT ready"));
      expect(asked.length).toBeLessThanOrEqual(1);
      // the relay or the CA client, whichever is first
      expect(told.filter((line) => !asked.includes(line))).toEqual([
        expect.stringMatching(/ECONNREFUSED.*hint=is the control plane running\?$/),
      ]);
      const reason = await readiness();
      expect(reason.split("ECONNREFUSED")).toHaveLength(2); // no words twice
      agent.kill("SIGTERM");
      expect((await agent.ended).code).toBe(0);
    },
    TEST_LIMIT_MS,
  );
});
