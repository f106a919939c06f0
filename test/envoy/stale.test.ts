import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createLogger, silentLogger } from "../../src/base/index.ts";
import { type EnvoyMark, endStaleEnvoy, isSameEnvoy, markEnvoy } from "../../src/envoy/left-behind/stale.ts";
import { commandLineOf, startOf } from "../../src/host/process-identity.ts";
import { isAlive } from "../support/processes.ts";

let folder: string;
let binary: string;
const children: ChildProcess[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-stale-"));
  binary = join(folder, "envoy with a blank) in its name");
});
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
  }
  await rm(folder, { recursive: true, force: true });
});

/** A program in Envoy's place, which says when it is up. */
async function startProgram(script: string, more: readonly string[] = []): Promise<number> {
  await writeFile(binary, `#!/bin/sh\n${script}\necho up\nwhile :; do sleep 0.02; done\n`);
  await chmod(binary, 0o755);
  const words = ["-c", "envoy-rev.json", "--concurrency", "1", ...more];
  const child = spawn(binary, words, { stdio: ["ignore", "pipe", "ignore"] });
  children.push(child);
  await once(child.stdout, "data");
  return child.pid ?? 0;
}

async function markOf(pid: number): Promise<EnvoyMark> {
  const mark = await markEnvoy(pid, { binary, configFile: "envoy-rev.json" });
  if (mark === undefined) throw new Error("there is no such process");
  return mark;
}

function listen() {
  const lines: string[] = [];
  return { lines, log: createLogger({ write: (line) => void lines.push(line.split("\t").slice(1).join(" ").trim()) }) };
}

test("what was left behind is ended, with one line", async () => {
  const pid = await startProgram("");
  const { lines, log } = listen();
  await endStaleEnvoy(await markOf(pid), log);
  expect(isAlive(pid)).toBe(false);
  expect(lines).toEqual([
    `info Stopped the Envoy that an earlier agent left behind pid=${pid} signal=SIGTERM binary=${binary}`,
  ]);
});

test("the base id of a hot restart is noted, by which its shared memory can be found", async () => {
  const pid = await startProgram("", ["--base-id", "4711", "--restart-epoch", "0"]);
  expect((await markOf(pid)).baseId).toBe(4711);
  const without = await startProgram("");
  expect((await markOf(without)).baseId).toBeUndefined();
});

test("what ignores SIGTERM is killed", async () => {
  const pid = await startProgram('trap "" TERM');
  const { lines, log } = listen();
  await endStaleEnvoy(await markOf(pid), log);
  expect(isAlive(pid)).toBe(false);
  expect(lines.join()).toContain("signal=SIGKILL");
});

test.each([
  ["another start", (mark: EnvoyMark) => ({ ...mark, start: `${mark.start}0` })],
  ["another executable", (mark: EnvoyMark) => ({ ...mark, binary: "/usr/bin/envoy" })],
  ["another configuration", (mark: EnvoyMark) => ({ ...mark, configFile: "other.json" })],
])("a process with %s is not touched", async (_what, change) => {
  const pid = await startProgram("");
  const mark = await markOf(pid);
  expect(await isSameEnvoy(mark)).toBe(true);
  const { lines, log } = listen();
  await endStaleEnvoy(change(mark), log);
  expect(isAlive(pid)).toBe(true);
  expect(lines).toEqual([]);
});

test("a process that is gone is nobody's", async () => {
  const pid = await startProgram("");
  const mark = await markOf(pid);
  process.kill(pid, "SIGKILL");
  await expect.poll(() => isAlive(pid)).toBe(false);
  expect(await startOf(pid)).toBeUndefined();
  expect(await markEnvoy(pid, mark)).toBeUndefined();
  expect(await isSameEnvoy(mark)).toBe(false);
  await endStaleEnvoy(mark, silentLogger);
});

test("an ended process that nobody collected counts as gone", async () => {
  const child = spawn("/bin/sh", ["-c", 'sh -c "exit 0" & echo $!; exec sleep 600'], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  children.push(child);
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  await expect.poll(() => startOf(Number(line.toString()))).toBeUndefined();
});

test("two processes differ, and one stays itself", async () => {
  const own = await startOf(process.pid);
  expect(own).toBe(await startOf(process.pid));
  expect(own).not.toBe(await startOf(process.ppid));
  expect(await commandLineOf(process.pid)).toContain("node");
});
