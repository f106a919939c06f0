import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type ProgramOptions, runProgram } from "../../src/host/index.ts";
import { isAlive } from "../support/processes.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-program-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function shell(script: string, options: Partial<ProgramOptions> = {}) {
  return runProgram("/bin/sh", ["-c", script], { env: { PATH: process.env.PATH }, cwd: folder, ...options });
}

/** The process that wrote its number there; 0 before. */
async function pidIn(name: string): Promise<number> {
  return Number(await readFile(join(folder, name), "utf8").catch(() => "0"));
}

async function noneOf(...names: string[]): Promise<void> {
  for (const name of names) {
    const pid = await pidIn(name);
    expect(pid, name).toBeGreaterThan(0);
    expect(isAlive(pid), name).toBe(false);
  }
}

test("code, signal and both streams are the result, whatever the code is", async () => {
  const ran = await shell("echo out; echo err >&2; exit 3");
  expect({ ...ran, stdout: ran.stdout.toString() }).toEqual({
    code: 3,
    signal: null,
    stdout: "out\n",
    stderr: "err\n",
  });
  expect(await shell("kill -USR1 $$")).toMatchObject({ code: null, signal: "SIGUSR1" });
});

test("arguments are not read by a shell, and the environment is the one that is given", async () => {
  const { stdout } = await runProgram("printf", ["%s|", "a b", "$HOME", ";"], { env: { PATH: process.env.PATH } });
  expect(stdout.toString()).toBe("a b|$HOME|;|");
  const { stdout: shown } = await runProgram("/usr/bin/env", [], { env: { ONE: "1", NONE: undefined } });
  expect(shown.toString()).toBe("ONE=1\n");
});

test("stdin is the given text, else empty, and one that never reads it is no failure", async () => {
  const text = "x".repeat(1_000_000);
  expect((await shell("wc -c", { stdin: { text } })).stdout.toString().trim()).toBe("1000000");
  expect((await shell("cat")).stdout.toString()).toBe("");
  expect(await shell("exit 0", { stdin: { text } })).toMatchObject({ code: 0 });
});

test("what is missing, not executable or no program has its code and the system's reason", async () => {
  const run = (file: string) => runProgram(file, [], { env: {} });
  await expect(run("no-such-program")).rejects.toMatchObject({ code: "PROGRAM_NOT_FOUND" });
  await expect(run("/etc/passwd")).rejects.toMatchObject({ code: "PROGRAM_NOT_FOUND" });
  await expect(runProgram("/bin/sh", ["a\0b"], { env: {} })).rejects.toMatchObject({ code: "PROGRAM_FAILED" });
});

/** A child in the background that is deaf to SIGTERM and holds no stream. */
const DEAF_CHILD = `sh -c 'trap "" TERM; echo $$ > child; while :; do sleep 0.05; done' >/dev/null 2>&1 &`;

test.each([
  ["leaves at SIGTERM, its child does not", "echo $$ > leader; wait"],
  ["is deaf itself", 'trap "" TERM; echo $$ > leader; while :; do sleep 0.05; done'],
])("after the stop nothing is left of a program that %s", async (_, script) => {
  const stop = new AbortController();
  const running = shell(`${DEAF_CHILD} ${script}`, { stop: stop.signal, graceMs: 100 });
  const refused = expect(running).rejects.toThrow("enough");
  await expect.poll(() => pidIn("leader")).toBeGreaterThan(0);
  await expect.poll(() => pidIn("child")).toBeGreaterThan(0);
  stop.abort(new Error("enough"));
  await refused;
  await noneOf("leader", "child");
});

test("a polite program gets the time to clean up", async () => {
  const stop = new AbortController();
  const running = shell('trap "echo bye > end; exit" TERM; echo $$ > leader; while :; do sleep 0.05; done', {
    stop: stop.signal,
    graceMs: 60_000,
  });
  const refused = expect(running).rejects.toThrow("enough");
  await expect.poll(() => pidIn("leader")).toBeGreaterThan(0);
  stop.abort(new Error("enough"));
  await refused;
  expect(await readFile(join(folder, "end"), "utf8")).toBe("bye\n");
});

test("a program that takes too long is stopped, also when only a child in the background holds its stdout", async () => {
  const late = { code: "TIMEOUT", message: '"/bin/sh" did not finish within 0.5 s' };
  await expect(shell("echo $$ > leader; exec sleep 600", { limitMs: 500 })).rejects.toMatchObject(late);
  await expect(shell("sleep 600 & echo $! > child", { limitMs: 500 })).rejects.toMatchObject(late);
  await noneOf("leader", "child");
});

test("a program that prints too much is stopped; of stderr the last bytes are kept", async () => {
  const endless = shell("echo $$ > leader; exec yes", { mostBytes: 100_000 });
  await expect(endless).rejects.toMatchObject({
    code: "PROGRAM_FAILED",
    message: '"/bin/sh" printed more than 100000 bytes',
  });
  await noneOf("leader");
  const { stdout, stderr } = await shell("echo thrown away; seq 100000 >&2", { mostBytes: 0 });
  expect(stdout).toHaveLength(0);
  expect(stderr).toHaveLength(8_000);
  expect(stderr).toMatch(/\n100000\n$/);
});

test("a stop that came before starts nothing", async () => {
  await expect(shell("echo $$ > leader", { stop: AbortSignal.abort(new Error("over")) })).rejects.toThrow("over");
  expect(await pidIn("leader")).toBe(0);
});
