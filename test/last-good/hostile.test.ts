import { execFileSync } from "node:child_process";
import { chmod, chown, mkdir, readdir, readFile, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Clock, systemClock } from "../../src/base/index.ts";
import { DELTA, SOTW } from "../../src/proto/ads-variant.ts";
import { CLUSTER, ENDPOINTS, encodeAsk, LISTENER, makeFolder, type Resource, servedOf, startRun } from "./rig.ts";

const isRoot = process.getuid?.() === 0;

async function logIn(folder: string): Promise<string> {
  const [name] = (await readdir(folder)).filter((one) => one.endsWith(".log"));
  return join(folder, name ?? "there is none");
}

/** A log of three accepted states of one cluster. */
async function writeLog(folder: string): Promise<string> {
  await using run = startRun(folder, SOTW);
  const stream = run.open();
  stream.boot([["a", "1"]]);
  stream.take(CLUSTER, [["a", "2"]]);
  stream.take(CLUSTER, [["a", "3"]]);
  await run[Symbol.asyncDispose]();
  return logIn(folder);
}

test("file and folder are this user's alone", async () => {
  await using folder = await makeFolder();
  const file = await writeLog(folder.path);
  expect((await stat(file)).mode & 0o7777).toBe(0o600);
  expect((await stat(folder.path)).mode & 0o7777).toBe(0o700);
});

test("wherever a log was cut, a state that Envoy accepted is served, or none", async () => {
  await using folder = await makeFolder();
  const file = await writeLog(folder.path);
  const { size } = await stat(file);
  const whole = await readFile(file);
  const served: string[] = [];
  for (let bytes = size; bytes >= 0; bytes -= 37) {
    await writeFile(file, whole);
    await truncate(file, bytes);
    served.push((await servedOf(folder.path, SOTW))?.a ?? "none");
  }
  const changes = served.filter((one, at) => one !== served[at - 1]);
  expect(changes).toEqual(["3", "2", "1", "none"]);
});

test("what was damaged is not served, and the log says so", async () => {
  await using folder = await makeFolder();
  const file = await writeLog(folder.path);
  const bytes = await readFile(file);
  for (let at = 0; at < bytes.length; at += 53) {
    const damaged = Buffer.from(bytes);
    damaged[at] = (damaged[at] ?? 0) ^ 0x40;
    await writeFile(file, damaged);
    expect(["1", "2", undefined]).toContain((await servedOf(folder.path, SOTW))?.a);
  }
  await writeFile(
    file,
    bytes.map((byte, at) => (at === 30 ? byte ^ 1 : byte)),
  );
  await using run = startRun(folder.path, SOTW);
  expect(await run.open().followed.standIn()).toBeUndefined();
  expect(run.lines.join()).toMatch(/Cannot use the whole last-good configuration.*does not match its check/);
  run.open().boot([["a", "4"]]);
  await run[Symbol.asyncDispose]();
  expect(await servedOf(folder.path, SOTW)).toEqual({ a: "4" });
});

describe("a log that others could have written or read does not count", () => {
  test.each([
    ["its mode", (file: string) => chmod(file, 0o640), "is open to others (mode 0640)"],
    ["its folder's mode", (file: string) => chmod(join(file, ".."), 0o755), "is open to others (mode 0755)"],
  ])("%s", async (_, spoil, why) => {
    await using folder = await makeFolder();
    await spoil(await writeLog(folder.path));
    await using run = startRun(folder.path, SOTW);
    expect(await run.open().followed.standIn()).toBeUndefined();
    expect(run.lines.join()).toContain(why);
  });

  test.skipIf(!isRoot)("its owner (wants root)", async () => {
    await using folder = await makeFolder();
    await chown(await writeLog(folder.path), 4_711, 4_711);
    await using run = startRun(folder.path, SOTW);
    expect(await run.open().followed.standIn()).toBeUndefined();
    expect(run.lines.join()).toContain("belongs to uid 4711, not 0");
  });
});

test("a log of another format does not count, and is replaced", async () => {
  await using folder = await makeFolder();
  await using run = startRun(folder.path, SOTW);
  await mkdir(folder.path, { mode: 0o700 });
  run.open().boot([["a", "1"]]);
  await run[Symbol.asyncDispose]();
  await writeFile(await logIn(folder.path), "pilotboat's next idea", { mode: 0o600 });
  expect(await servedOf(folder.path, SOTW)).toBeUndefined();
  await using next = startRun(folder.path, SOTW);
  next.open().boot([["a", "2"]]);
  await next[Symbol.asyncDispose]();
  expect(await servedOf(folder.path, SOTW)).toEqual({ a: "2" });
});

test("what a killed agent left half written goes once it is old; the log is not touched", async () => {
  await using folder = await makeFolder();
  const file = await writeLog(folder.path);
  const [old, young] = [`${file.slice(0, -4)}.0123456789ab.tmp`, `${file.slice(0, -4)}.ba9876543210.tmp`];
  for (const path of [old, young]) await writeFile(path, "half", { mode: 0o600 });
  await utimes(old, 1_000, 1_000);
  expect(await servedOf(folder.path, SOTW)).toEqual({ a: "3" });
  await using run = startRun(folder.path, SOTW);
  run.open().boot([["a", "4"]]);
  await run[Symbol.asyncDispose]();
  expect((await readdir(folder.path)).map((name) => join(folder.path, name)).sort()).toEqual([file, young].sort());
});

test("a folder that cannot be written turns it off with one line", async () => {
  await using folder = await makeFolder();
  await writeFile(folder.path, "a file in its place");
  await using run = startRun(folder.path, SOTW);
  const stream = run.open();
  stream.boot([["a", "1"]]);
  stream.take(CLUSTER, [["a", "2"]]);
  expect(await stream.followed.standIn()).toBeUndefined();
  expect(run.lines.filter((line) => line.includes("Cannot keep the configuration for a restart"))).toHaveLength(1);
});

test("what a full disk has no room for leaves nothing to be served, and the next stream is kept again", async ({
  skip,
}) => {
  await using folder = await makeFolder();
  await using _disk = (await mountDisk(folder.path)) ?? skip(NO_MOUNT);
  await using run = startRun(folder.path, SOTW);
  const stream = run.open();
  stream.boot([["a", "1"]]);
  stream.take(CLUSTER, [["a", Buffer.alloc(600 * 1_024, "x")]]);
  stream.take(CLUSTER, [["a", Buffer.alloc(600 * 1_024, "y")]]);
  await stream.followed.standIn();
  expect(run.lines.filter((line) => line.includes("ENOSPC"))).toHaveLength(1);
  expect(run.lines.join()).toContain("Free space on that file system");
  expect(await servedOf(folder.path, SOTW)).toBeUndefined();
  stream.take(LISTENER, [["l", "2"]]);
  await stream.followed.standIn();
  expect(await servedOf(folder.path, SOTW)).toBeUndefined();
  run.open().boot([["a", "fits"]]);
  await run[Symbol.asyncDispose]();
  expect(await servedOf(folder.path, SOTW)).toEqual({ a: "fits" });
});

test("a disk that has become read-only still serves; what cannot be kept is said once, and is kept again later", async ({
  skip,
}) => {
  await using folder = await makeFolder();
  await using disk = (await mountDisk(folder.path)) ?? skip(NO_MOUNT);
  await writeLog(folder.path);
  disk.remount("ro");
  expect(await servedOf(folder.path, SOTW)).toEqual({ a: "3" });
  await using run = startRun(folder.path, SOTW);
  run.open().boot([["a", "4"]]);
  run.open().boot([["a", "5"]]);
  expect(await run.open().followed.standIn()).toBeUndefined();
  expect(run.lines.filter((line) => line.includes("EROFS"))).toHaveLength(1);
  disk.remount("rw");
  run.open().boot([["a", "6"]]);
  await run[Symbol.asyncDispose]();
  expect(await servedOf(folder.path, SOTW)).toEqual({ a: "6" });
});

const NO_MOUNT = "mounting a small disk needs a right that we do not have";

/** Half a megabyte; undefined where that is not permitted. */
async function mountDisk(path: string): Promise<({ remount(mode: "ro" | "rw"): void } & AsyncDisposable) | undefined> {
  await mkdir(path, { mode: 0o700 });
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=512k,mode=0700", "tmpfs", path], { stdio: "ignore" });
  } catch {
    return undefined;
  }
  return {
    remount: (mode) => void execFileSync("mount", ["-o", `remount,${mode}`, path]),
    [Symbol.asyncDispose]: async () => void execFileSync("umount", ["--lazy", path]),
  };
}

test("whatever the clock says now, and said then, the last state is served, and the log stays", async () => {
  const YEAR_MS = 365 * 24 * 3_600_000;
  const at = (ms: number): Clock => ({ ...systemClock, now: () => ms });
  await using folder = await makeFolder();
  for (const ms of [Date.now() + 10 * YEAR_MS, 0, Date.now()]) {
    await using run = startRun(folder.path, SOTW, undefined, at(ms));
    run.open().boot([["a", `accepted at ${ms}`]]);
    await run[Symbol.asyncDispose]();
    await using next = startRun(folder.path, SOTW);
    expect((await next.open().followed.standIn())?.acceptedMs).toBe(ms);
    expect(await servedOf(folder.path, SOTW)).toEqual({ a: `accepted at ${ms}` });
    for (const seconds of [1, Date.now() / 1_000 + YEAR_MS]) {
      await utimes(await logIn(folder.path), seconds, seconds);
      expect(await servedOf(folder.path, SOTW)).toEqual({ a: `accepted at ${ms}` });
    }
  }
});

test("delta: after a change that could not be kept nothing is served until all has come anew", async () => {
  await using folder = await makeFolder();
  await using run = startRun(folder.path, DELTA, 2 * 2 ** 20);
  const stream = run.open();
  stream.boot([["a", "1"]]);
  stream.take(CLUSTER, [["b", Buffer.alloc(3 * 2 ** 20)]]);
  stream.take(CLUSTER, [["c", "1"]]);
  await stream.followed.standIn();
  expect(run.lines.join()).toContain("PILOTBOAT_LAST_GOOD_BYTES");
  expect(await servedOf(folder.path, DELTA)).toBeUndefined();
  run.open().boot([["c", "2"]]);
  await run[Symbol.asyncDispose]();
  expect(await servedOf(folder.path, DELTA)).toEqual({ c: "2" });
});

test("two agents in one folder disturb nobody: the log is one's or the other's, and whole", async () => {
  await using folder = await makeFolder();
  await using one = startRun(folder.path, SOTW);
  await using other = startRun(folder.path, SOTW);
  one.open().boot([["a", "one"]]);
  other.open().boot([["a", "other"]]);
  for (let at = 0; at < 20; at++) {
    one.open().boot([["a", `one ${at}`]]);
    other.open().boot([["a", `other ${at}`]]);
  }
  await Promise.all([one[Symbol.asyncDispose](), other[Symbol.asyncDispose]()]);
  expect(["one 19", "other 19"]).toContain((await servedOf(folder.path, SOTW))?.a);
});

test("logs of other nodes do not pile up, and those that are in use stay", async () => {
  await using folder = await makeFolder();
  await writeLog(folder.path);
  for (let at = 0; at < 40; at++) {
    const path = join(folder.path, `other-${at}.log`);
    await writeFile(path, "", { mode: 0o600 });
    if (at >= 20) await utimes(path, 1_000 + at, 1_000 + at);
  }
  await using run = startRun(folder.path, SOTW);
  run.open().boot([["a", "4"]]);
  await run[Symbol.asyncDispose]();
  const left = await readdir(folder.path);
  expect(left.filter((name) => /^other-1?\d\.log$/.test(name))).toHaveLength(20);
  expect(left).toHaveLength(21);
});

test("an agent that has nothing new to write touches its log", async () => {
  await using folder = await makeFolder();
  await using run = startRun(folder.path, SOTW);
  const stream = run.open();
  stream.boot([["a", "1"]]);
  await stream.followed.standIn();
  const file = await logIn(folder.path);
  await utimes(file, 1_000, 1_000);
  stream.take(CLUSTER, [["a", "1"]], { version: "n1" });
  await stream.followed.standIn();
  stream.accept(CLUSTER, stream.send(CLUSTER, [["a", "1"]], { nonce: "again", version: "n1" }), { version: "n1" });
  await stream.followed.standIn();
  expect((await stat(file)).mtimeMs).toBeGreaterThan(Date.now() - 60_000);
});

test("the disk is bounded while everything changes again and again", async () => {
  await using folder = await makeFolder();
  const mostBytes = 16 * 2 ** 20;
  await using run = startRun(folder.path, SOTW, mostBytes);
  const stream = run.open();
  const state = (fill: string): Resource[] =>
    Array.from({ length: 20 }, (_, at) => [`c${at}`, Buffer.alloc(100 * 1_024, fill)]);
  stream.boot(state("0"));
  let most = 0;
  for (const fill of "123456789abcdef") {
    stream.take(CLUSTER, state(fill));
    await stream.followed.standIn(); // everything before it is done
    most = Math.max(most, (await stat(await logIn(folder.path))).size);
  }
  expect(run.lines).toEqual([]);
  expect(most).toBeLessThan(mostBytes);
  expect(most).toBeGreaterThan(4 * 2 ** 20);
  await run[Symbol.asyncDispose]();
  expect(Object.values((await servedOf(folder.path, SOTW)) ?? {})[0]).toMatch(/^f{102400}$/);
});

test("60 MB are kept, and the event loop stays free meanwhile", async () => {
  await using folder = await makeFolder();
  await using run = startRun(folder.path, SOTW, 256 * 2 ** 20);
  const stream = run.open();
  const resources: Resource[] = Array.from({ length: 600 }, (_, at) => [`c${at}`, Buffer.alloc(100_000, `${at} `)]);
  let turns = 0;
  const counting = setInterval(() => void turns++, 1);
  stream.boot(resources);
  await stream.followed.standIn();
  clearInterval(counting);
  expect(turns).toBeGreaterThan(10);
  const { size } = await stat(await logIn(folder.path));
  stream.take(CLUSTER, resources); // the same again, as after each reconnect
  await run[Symbol.asyncDispose]();
  expect((await stat(await logIn(folder.path))).size - size).toBeLessThan(1_000);
  expect(Object.keys((await servedOf(folder.path, SOTW)) ?? {})).toHaveLength(600);
  await using next = startRun(folder.path, SOTW);
  const answers = await next.open().followed.standIn();
  const answer = await answers?.answer(encodeAsk(SOTW, CLUSTER));
  let longest = 0;
  for await (const { length } of answer?.pieces() ?? []) longest = Math.max(longest, length);
  expect(longest).toBeGreaterThan(0);
  expect(longest).toBeLessThan(512 * 1_024); // nobody holds all of it at once
}, 60_000);

test("what changes while it is sent ends the response, and is not mixed with what was there before", async () => {
  await using folder = await makeFolder();
  await using run = startRun(folder.path, SOTW);
  const state = (fill: string): Resource[] => ["a", "b"].map((name) => [name, Buffer.alloc(300_000, fill)]);
  run.open().boot(state("1"));
  const answers = await run.open().followed.standIn();
  const same = await answers?.answer(encodeAsk(SOTW, CLUSTER));
  const pieces = same?.pieces()[Symbol.asyncIterator]();
  for (let at = 0; at < 2; at++) await pieces?.next(); // the first resource
  run.open().boot(state("2"));
  await run.open().followed.standIn();
  await expect(pieces?.next()).rejects.toThrow("the last-good configuration changed while it was sent");
});

test("an Envoy that never answers does not fill the memory or the disk", async () => {
  await using folder = await makeFolder();
  await using run = startRun(folder.path, DELTA, 8 * 2 ** 20);
  const stream = run.open();
  stream.boot([["a", "1"]]);
  stream.ask(ENDPOINTS, { names: ["a"] });
  for (let at = 0; at < 100; at++) {
    stream.send(ENDPOINTS, [["a", Buffer.alloc(300_000, `${at}`)]]);
    await stream.followed.standIn();
  }
  expect(await readdir(folder.path)).toEqual([]);
  run.open().boot([["a", "2"]]);
  await run[Symbol.asyncDispose]();
  expect(await servedOf(folder.path, DELTA)).toEqual({ a: "2" });
});
