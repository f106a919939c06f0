import { type ChildProcess, spawn } from "node:child_process";
import { chmod, chown, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { findAgents, runFilePath } from "../../src/agent/run-folder/index.ts";
import { startOf } from "../../src/host/index.ts";
import { PATHS } from "../../src/istio/index.ts";

const OTHER_USER = 54_321;
let temporary: string;
let runFolder: string;
let children: ChildProcess[] = [];

beforeEach(async () => {
  temporary = await mkdtemp(join(tmpdir(), "pb-find-"));
  await chmod(temporary, 0o755); // for the other user
  runFolder = join(temporary, "run");
  await mkdir(join(runFolder, PATHS.config), { recursive: true });
});
afterEach(async () => {
  for (const child of children) child.stdin?.end(); // what it reads: then it ends
  children = [];
  await rm(temporary, { recursive: true, force: true });
});

/** A process that lives until its input ends. Resolves with its pid. */
async function live(cwd: string, words: readonly string[] = [], uid?: number): Promise<number> {
  const child = spawn("/bin/sh", ["-c", "echo up; read line", "sh", ...words], {
    cwd,
    stdio: ["pipe", "pipe", "inherit"],
    ...(uid === undefined ? {} : { uid }),
  });
  children.push(child);
  await new Promise((resolve, reject) => {
    child.stdout.once("data", resolve);
    child.once("error", reject);
  });
  return child.pid ?? 0;
}

async function leaveRunFile(folder: string, pid: number): Promise<void> {
  const file = join(folder, runFilePath(PATHS.config));
  await writeFile(file, JSON.stringify({ pid, start: await startOf(pid), envoys: [] }), { mode: 0o600 });
}

/** Where the agent with this pid is said to be. */
async function foundAt(pid: number): Promise<string[]> {
  return (await findAgents([temporary])).filter((one) => one.pid === pid).map((one) => one.runFolder);
}

const isLinux = process.platform === "linux";
const isRoot = process.getuid?.() === 0; // only root gives folders and processes to others

test.runIf(isLinux)("a temporary folder of ours is found, a link of such a name is not", async () => {
  const made = join(temporary, "pilotboat-aaaaaa");
  await symlink(runFolder, made);
  await leaveRunFile(runFolder, process.pid);
  expect(await foundAt(process.pid)).toEqual([]);
  await rm(made);
  await mkdir(join(made, PATHS.config), { recursive: true });
  await leaveRunFile(made, process.pid);
  expect(await foundAt(process.pid)).toEqual([made]);
});

test.runIf(isLinux && isRoot)("another user's folder with a link into an agent's is not that agent's", async () => {
  const made = join(temporary, "pilotboat-bbbbbb");
  await mkdir(made);
  await symlink(join(runFolder, "etc"), join(made, "etc"));
  await leaveRunFile(runFolder, process.pid);
  await chown(made, OTHER_USER, OTHER_USER);
  expect(await foundAt(process.pid)).toEqual([]);
});

test.runIf(isLinux)("where an agent works counts before a temporary folder", async () => {
  const made = join(temporary, "pilotboat-cccccc");
  await mkdir(made);
  await symlink(join(runFolder, "etc"), join(made, "etc"));
  const pid = await live(runFolder);
  await leaveRunFile(runFolder, pid);
  expect(await foundAt(pid)).toEqual([runFolder]);
});

test.runIf(isLinux && isRoot)("what our processes name counts before what those of others name", async () => {
  const others = join(temporary, "others");
  await symlink(runFolder, others);
  await live("/", ["--run-folder", others], OTHER_USER); // before the agent, so that it has the lower pid
  const pid = await live(runFolder);
  await leaveRunFile(runFolder, pid);
  expect(await foundAt(pid)).toEqual([runFolder]);
});
