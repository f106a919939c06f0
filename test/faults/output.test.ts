import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:fs";
import { mkdir, open, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { isAlive } from "../support/processes.ts";
import { fault, timed } from "./fault.ts";
import { envoyOf, peakMegabytes, type Rig, startRig } from "./rig.ts";

const run = promisify(execFile);

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
});
afterAll(() => rig[Symbol.asyncDispose]());
afterEach(() => expect(rig.leftovers()).toEqual([]));

const LOUD_BYTES = 100 * 2 ** 20;
const MEMORY_LIMIT_MB = 200;

fault("Envoy writes 100 MB to stderr", async () => {
  const log = join(rig.sandbox.folder, "loud.log");
  await using agent = await rig.startWithFake("loud", { env: { FAULT_STDERR: log } });
  await agent.waitFor(/Start: .*ready/);
  const megabytes = peakMegabytes(agent.pid);
  expect(megabytes).toBeLessThan(MEMORY_LIMIT_MB);
  agent.kill("SIGTERM");
  const { code } = await agent.ended;
  expect((await stat(log)).size).toBeGreaterThanOrEqual(LOUD_BYTES);
  await rm(log);
  return { exit: code, seen: `all of it passed on; the agent took ${megabytes} MB at most` };
});

fault("nobody reads what Envoy and the agent write", async () => {
  await using pipe = await openUnread();
  const both = { FAULT_STDOUT: pipe.path, FAULT_STDERR: pipe.path };
  await using serving = await rig.startServing({ env: both, args: ["--proxyLogLevel", "trace"] });
  for (let sent = 0; sent < 100; sent++) expect(await rig.request()).toBe(200);
  const megabytes = peakMegabytes(serving.agent.pid);
  expect(megabytes).toBeLessThan(MEMORY_LIMIT_MB);
  serving.agent.kill("SIGTERM");
  const { ms, result } = await timed(serving.agent.ended);
  return { exit: result.code, seen: `100 requests answered; ${megabytes} MB at most; SIGTERM ended it in ${ms} ms` };
});

fault("the reader of the output goes away", async () => {
  await using pipe = await openRead();
  const both = { FAULT_STDOUT: pipe.path, FAULT_STDERR: pipe.path };
  await using serving = await rig.startServing({ env: both, args: ["--proxyLogLevel", "debug"] });
  await pipe.leave();
  for (let sent = 0; sent < 100; sent++) expect(await rig.request()).toBe(200);
  expect((await rig.readiness()).status).toBe(200);
  serving.agent.kill("SIGTERM");
  const { ms, result } = await timed(serving.agent.ended);
  return { exit: result.code, seen: `100 requests answered; SIGTERM ended it in ${ms} ms` };
});

fault("the log fills the disk", async () => {
  await using disk = await smallDisk();
  const log = join(disk.path, "log");
  const files = { FAULT_STDOUT: log, FAULT_STDERR: log };
  await using serving = await rig.startServing({ env: files, args: ["--proxyLogLevel", "trace", "--log_target", log] });
  await expect.poll(async () => (await rig.request()) === 200 && (await disk.isFull()), { interval: 0 }).toBe(true);
  for (let sent = 0; sent < 100; sent++) expect(await rig.request()).toBe(200);
  expect((await rig.readiness()).status).toBe(200);
  serving.agent.kill("SIGTERM");
  const { ms, result } = await timed(serving.agent.ended);
  return { exit: result.code, seen: `100 requests answered with the disk full; SIGTERM ended it in ${ms} ms` };
});

fault("the disk is full at the start", async () => {
  await using disk = await smallDisk();
  await fill(join(disk.path, "filler"));
  await using agent = await rig.startProxy({ proxyConfig: { configPath: join(disk.path, "proxy") } });
  const { code } = await agent.ended;
  expect(agent.stderr()).toContain(disk.path);
  expect(agent.stderr()).toMatch(/ENOSPC.*\[FILE_UNWRITABLE\]/);
  return { exit: code, seen: "ended at the first file" };
});

fault("the terminal is closed", async () => {
  await using terminal = await rig.startProxy({ env: { FAULT_TERMINAL: "yes" } });
  await expect.poll(() => rig.request(), { interval: 20 }).toBe(200);
  const { pid } = JSON.parse(await readFile(join(rig.sandbox.folder, "etc/istio/proxy/agent.json"), "utf8"));
  const envoyPid = envoyOf(pid);
  terminal.kill("SIGKILL");
  await terminal.ended;
  const gone = expect.poll(() => isAlive(pid) || isAlive(envoyPid), { interval: 5 }).toBe(false);
  const { ms } = await timed(Promise.resolve(gone));
  expect(rig.leftovers()).toEqual([]);
  return { exit: 0, seen: `ended orderly within ${ms} ms, its files removed` };
});

interface Pipe extends AsyncDisposable {
  readonly path: string;
}

/** A named pipe that somebody holds open without reading. */
async function openUnread(): Promise<Pipe> {
  const path = await makePipe();
  const reader = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return {
    path,
    async [Symbol.asyncDispose]() {
      await reader.close();
      await rm(path);
    },
  };
}

/** A named pipe whose reader reads until it leaves. */
async function openRead(): Promise<Pipe & { leave(): Promise<void> }> {
  const path = await makePipe();
  const reader = spawn("cat", [path], { stdio: "ignore" });
  const gone = once(reader, "exit");
  const leave = async (): Promise<void> => {
    reader.kill("SIGKILL");
    await gone;
  };
  return {
    path,
    leave,
    async [Symbol.asyncDispose]() {
      await leave();
      await rm(path);
    },
  };
}

async function makePipe(): Promise<string> {
  const path = join(rig.sandbox.folder, "pipe");
  await run("mkfifo", [path]);
  return path;
}

interface Disk extends AsyncDisposable {
  readonly path: string;
  isFull(): Promise<boolean>;
}

/** A file system of one megabyte. Mounting takes root. */
async function smallDisk(): Promise<Disk> {
  const path = join(rig.sandbox.folder, "disk");
  await mkdir(path);
  await run("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", path]);
  return {
    path,
    async isFull() {
      return (await stat(join(path, "log"))).size >= 2 ** 20;
    },
    async [Symbol.asyncDispose]() {
      await run("umount", ["--lazy", path]);
      await rm(path, { recursive: true });
    },
  };
}

function fill(path: string): Promise<void> {
  return writeFile(path, Buffer.alloc(2 * 2 ** 20)).then(
    () => Promise.reject(new Error("the disk is not small")),
    () => undefined,
  );
}
