import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type RunningCommand, runtimes, start } from "../support/pilotboat.ts";
import { isAlive } from "../support/processes.ts";
import { realEnvoy } from "../support/real-envoy.ts";

beforeAll(() => realEnvoy());

let temporary: string;
beforeEach(async () => {
  temporary = await mkdtemp(join(tmpdir(), "pb-up-"));
});
afterEach(() => rm(temporary, { recursive: true, force: true }));

describe.each(runtimes())("pilotboat up on $name", (runtime) => {
  const up = (): RunningCommand => start(runtime, ["up"], { cwd: temporary, env: { TMPDIR: temporary } });

  test("answers a request through a mutual-TLS hop, and Ctrl-C leaves nothing", async () => {
    await using command = up();
    const { curl, status, envoyPid, folder } = await addresses(command);
    const answer = await fetch(`${curl}?from=test`);
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ path: "/hello?from=test" });
    expect(answer.headers.get("x-peer-uri-san")).toBe("spiffe://cluster.local/ns/default/sa/quickstart");
    expect((await fetch(status)).status).toBe(200);

    command.kill("SIGINT");
    expect(await command.ended).toEqual({ code: 0, signal: null });
    expect(isAlive(envoyPid)).toBe(false);
    expect(existsSync(folder)).toBe(false);
    expect(await readdir(temporary)).toEqual([]);
  });

  test("two of them live side by side", async () => {
    await using first = up();
    await using second = up();
    const both = await Promise.all([addresses(first), addresses(second)]);
    const answers = await Promise.all(both.map(({ curl }) => fetch(curl)));
    expect(answers.map((answer) => answer.status)).toEqual([200, 200]);
  });

  test.runIf(process.platform === "linux")("kill -9 of the agent ends Envoy too", async () => {
    await using command = up();
    const { envoyPid } = await addresses(command);
    expect(isAlive(envoyPid)).toBe(true);
    command.kill("SIGKILL");
    await command.ended;
    await expect.poll(() => isAlive(envoyPid), { timeout: 10_000 }).toBe(false);
  });
});

/** What the command printed once it is ready. */
async function addresses(command: RunningCommand) {
  const [, curl = ""] = await command.waitFor(/curl (http:\S+)/);
  const [, status = ""] = await command.waitFor(/status\s+(http:\S+)/);
  const [, folder = ""] = await command.waitFor(/folder\s+(\/\S+)/);
  const [, pid = ""] = await command.waitFor(/envoy process\s+(\d+)/);
  return { curl, status, folder, envoyPid: Number(pid) };
}
