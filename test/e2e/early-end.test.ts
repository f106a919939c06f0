import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type RunningCommand, runtimes, start } from "../support/pilotboat.ts";
import { processesIn } from "../support/processes.ts";
import { createSandbox, type Sandbox } from "../support/sandbox.ts";

/** Milliseconds after the first moment at which a call or a signal can reach the agent. */
const MOMENTS = [0, 20, 40, 70, 100, 150, 200, 300];
const RUN_FILES = [
  ...["XDS", "envoy-rev.json", "agent.json"].map((name) => `etc/istio/proxy/${name}`),
  "var/run/secrets/workload-spiffe-uds/socket",
];
const STOP_SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
const TEST_LIMIT_MS = 120_000;

// As in a pod whose job is over before its sidecar has started.
describe.each(runtimes())("an end during the start on $name", (runtime) => {
  let sandbox: Sandbox;
  let controlPlane: RunningCommand;
  beforeAll(async () => {
    sandbox = await createSandbox(runtime);
    controlPlane = await sandbox.startControlPlane();
  });
  afterAll(async () => {
    await controlPlane[Symbol.asyncDispose]();
    await sandbox[Symbol.asyncDispose]();
  });

  test.each(STOP_SIGNALS)("reality 4: %s while a key of 16,384 bits is found, ends it at once", async (signal) => {
    await using agent = await sandbox.startProxy({ env: { WORKLOAD_RSA_KEY_SIZE: "16384" } });
    await agent.waitFor(/Initializing with upstream address/); // next, Envoy asks for its certificate
    const sinceMs = performance.now();
    agent.kill(signal);
    expect((await agent.ended).code).toBe(0);
    expect(performance.now() - sinceMs).toBeLessThan(4_000); // finding such a key takes half a minute
    expect(leftovers()).toEqual([]);
  });

  const leftovers = (): string[] => [
    ...processesIn(sandbox.folder).map((pid) => `process ${pid}`),
    ...RUN_FILES.filter((name) => existsSync(join(sandbox.folder, name))),
  ];

  const post = (path: string): Promise<number | string> =>
    fetch(`http://127.0.0.1:${sandbox.ports.status}${path}`, {
      method: "POST",
      headers: { connection: "close" },
    }).then(
      ({ status }) => status,
      ({ cause }: Error & { cause?: { code?: string } }) => cause?.code ?? "no answer",
    );

  const whenBound = (): Promise<void> => expect.poll(() => post("/nothing"), { interval: 1 }).toBe(404);

  /** What a start comes to that `act` puts an end to, at each of the moments. */
  async function endAt(from: (agent: RunningCommand) => Promise<void>, act: (agent: RunningCommand) => unknown) {
    const ends = new Set<string>();
    for (const waitMs of MOMENTS) {
      await using agent = await sandbox.startProxy();
      await from(agent);
      await new Promise((done) => setTimeout(done, waitMs)); // the moment is the subject
      await act(agent);
      const { code, signal } = await agent.ended;
      const said = agent
        .stderr()
        .split("\n")
        .filter((line) => /^Error:|Internal failure/.test(line));
      ends.add([`${code ?? signal}`, ...said, ...leftovers()].join(", "));
    }
    return [...ends];
  }

  test(
    "reality 13: POST /quitquitquit at any moment of the start ends with 0 and leaves nothing",
    async () => {
      expect(await endAt(whenBound, async () => expect(await post("/quitquitquit")).toBe(200))).toEqual(["0"]);
    },
    TEST_LIMIT_MS,
  );

  test(
    "reality 13: POST /quitquitquit that waits for the status server ends with 0 and leaves nothing",
    async () => {
      const untilTaken = async (): Promise<void> => expect.poll(() => post("/quitquitquit"), { interval: 1 }).toBe(200);
      expect(await endAt(untilTaken, () => undefined)).toEqual(["0"]);
    },
    TEST_LIMIT_MS,
  );

  test(
    "reality 13: POST /drain at any moment of the start answers, and SIGTERM after it ends with 0",
    async () => {
      const drainAndStop = async (agent: RunningCommand): Promise<void> => {
        expect(await post("/drain")).toBe(200);
        agent.kill("SIGTERM");
      };
      expect(await endAt(whenBound, drainAndStop)).toEqual(["0"]);
    },
    TEST_LIMIT_MS,
  );

  test(
    "reality 13: every stop signal at any moment of the start ends with 0 and leaves nothing",
    async () => {
      let sent = 0;
      const next = (): NodeJS.Signals => STOP_SIGNALS[sent++ % STOP_SIGNALS.length] ?? "SIGTERM";
      expect(await endAt(whenCaught, (agent) => agent.kill(next()))).toEqual(["0"]);
    },
    TEST_LIMIT_MS,
  );
});

describe.each(runtimes())("a signal during the start on $name", (runtime) => {
  test.each([
    ["up", ["up"]],
    ["control-plane", ["control-plane", "--port", "0", "--dir", resolve("examples/quickstart/xds")]],
  ])("reality 13: ends %s with 0 and without an error", async (_name, args) => {
    const ends = new Set<string>();
    for (const waitMs of MOMENTS) {
      await using command = start(runtime, args);
      await whenCaught(command);
      await new Promise((done) => setTimeout(done, waitMs)); // the moment is the subject
      command.kill("SIGTERM");
      const { code, signal } = await command.ended;
      ends.add(`${code ?? signal}${/^Error:.*/m.exec(command.stderr())?.[0] ?? ""}`);
    }
    expect([...ends]).toEqual(["0"]);
  });
});

/** Node itself catches SIGTERM and SIGINT while it boots; SIGHUP is caught by us alone, and last. */
function whenCaught({ pid }: RunningCommand): Promise<void> {
  const isCaught = (): boolean => {
    const mask = /^SigCgt:\s+([0-9a-f]+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "0";
    return (BigInt(`0x${mask}`) & 1n) === 1n;
  };
  return expect.poll(isCaught, { interval: 1 }).toBe(true);
}
