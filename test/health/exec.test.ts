import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { askExec } from "../../src/health/ask-exec.ts";
import { findSetpriv } from "../../src/host/index.ts";
import { isAlive } from "../support/processes.ts";

const never = new AbortController().signal;
const setpriv = await findSetpriv(process.env.PATH);
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-exec-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe.each([
  ["alone", undefined],
  ["under setpriv", setpriv],
] as const)("a command %s", (kind, wrapper) => {
  const ask = (command: readonly string[], timeoutMs = 20_000, stop = never): Promise<string> =>
    askExec(command, { env: { ...process.env, MINE: "yes" }, cwd: folder, setpriv: wrapper, timeoutMs }, stop).then(
      () => "healthy",
      (error: Error) => error.message,
    );
  const pidIn = async (file: string) => Number(await readFile(join(folder, file), "utf8"));

  test("exit code 0 is healthy; the others are told", async () => {
    expect(await ask(["true"])).toBe("healthy");
    expect(await ask(["false"])).toBe("exit status 1");
    expect(await ask(["sh", "-c", "exit 7"])).toBe("exit status 7");
    expect(await ask(["sh", "-c", "kill -TERM $$"])).toMatch(/^(signal: SIGTERM|exit status 143)/);
    expect(await ask(["no-such-program"])).toMatch(/no-such-program/);
  });

  test("there is no shell; environment and folder are the agent's", async () => {
    expect(await ask(["test", "$MINE", "=", "$MINE"])).toBe("healthy");
    expect(await ask(["sh", "-c", `test "$MINE" = yes && test "$PWD" = "${folder}"`])).toBe("healthy");
  });

  test("what takes longer than the timeout is killed with all its children", async () => {
    const file = `late-${kind.length}`;
    expect(await ask(["sh", "-c", `trap '' TERM; sleep 1000 & echo $! >${file}; wait`], 700)).toBe(
      "command timeout exceeded: signal: killed",
    );
    await expect.poll(async () => isAlive(await pidIn(file))).toBe(false);
  });

  test("output is discarded, however much there is, and what a command leaves running is killed", async () => {
    const file = `left-${kind.length}`;
    expect(await ask(["sh", "-c", `head -c 30000000 /dev/zero; sleep 1000 & echo $! >${file}`])).toBe("healthy");
    await expect.poll(async () => isAlive(await pidIn(file))).toBe(false);
  });

  test("the end of the agent kills it", async () => {
    const file = `stopped-${kind.length}`;
    const stop = new AbortController();
    const asking = ask(
      ["sh", "-c", `echo $$ >${file}.tmp; mv ${file}.tmp ${file}; sleep 1000; true`],
      20_000,
      stop.signal,
    );
    await expect.poll(() => pidIn(file).catch(() => 0)).toBeGreaterThan(0);
    stop.abort(new Error("the agent is closing"));
    expect(await asking).toBe("the agent is closing");
    expect(isAlive(await pidIn(file))).toBe(false);
  });
});
