import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { parseVersion } from "../../../src/envoy/binary/find-envoy.ts";
import {
  askVersion,
  cachedVersions,
  cacheFolder,
  DEFAULT_ENVOY_VERSION,
  findEnvoy,
  thisPlatform,
} from "../../../src/envoy/binary/index.ts";
import type { EnvoyLock } from "../../../src/envoy/binary/lock.ts";
import { envoyScript, sha256, writeProgram } from "../../support/fake-pip.ts";
import { realEnvoy } from "../../support/real-envoy.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-find-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const onPath = async (name: string, script: string): Promise<string> => {
  await mkdir(join(folder, name));
  await writeProgram(join(folder, name, "envoy"), script);
  return join(folder, name);
};

/** Pins the small program that stands for the default version. */
const PINNED: EnvoyLock = {
  default: DEFAULT_ENVOY_VERSION,
  versions: {
    [DEFAULT_ENVOY_VERSION]: {
      [thisPlatform()]: {
        pypi: { file: "x", bytes: 1, sha256: "x", executableSha256: sha256(envoyScript(DEFAULT_ENVOY_VERSION)) },
      },
    },
  },
};

const cache = async (version: string): Promise<string> => {
  const target = cacheFolder({ HOME: folder }, version);
  await mkdir(target, { recursive: true });
  await writeProgram(join(target, "envoy"), envoyScript(version));
  return join(target, "envoy");
};

test("an explicit path decides, relative to the working folder, and nothing is run to find it", async () => {
  const bin = await onPath("bin", envoyScript(DEFAULT_ENVOY_VERSION));
  await writeProgram(join(folder, "mine"), "touch was-run");
  const explicit = [
    { path: "./mine", from: "--envoy" },
    { path: "/nowhere", from: "ENVOY_BIN" },
  ];
  const found = await findEnvoy({ explicit, env: { PATH: bin, HOME: folder }, cwd: folder });
  expect(found).toEqual({ path: join(folder, "mine"), version: undefined, origin: "explicit" });
});

test("a name without a folder is looked up on PATH, then in the working folder", async () => {
  const bin = await onPath("bin", envoyScript(DEFAULT_ENVOY_VERSION));
  const find = (path: string) =>
    findEnvoy({ explicit: [{ path, from: "binaryPath" }], env: { PATH: bin, HOME: folder }, cwd: folder });
  for (const name of ["envoy", "mine"]) await writeProgram(join(folder, name), "touch was-run");
  expect(await find("envoy")).toMatchObject({ path: join(bin, "envoy"), origin: "explicit" });
  expect(await find("./envoy")).toMatchObject({ path: join(folder, "envoy"), origin: "explicit" });
  expect(await find("mine")).toMatchObject({ path: join(folder, "mine"), origin: "explicit" });
});

test("a wrong explicit path is an error that names it and who asked, whatever else there is", async () => {
  const env = { PATH: await onPath("bin", envoyScript(DEFAULT_ENVOY_VERSION)), HOME: folder };
  const find = (path: string) => findEnvoy({ explicit: [{ path, from: "ENVOY_BIN" }], env, cwd: folder });
  await expect(find("nowhere")).rejects.toMatchObject({
    code: "ENVOY_NOT_FOUND",
    message: `Cannot find Envoy at "${folder}/nowhere" (ENVOY_BIN)`,
  });
  await expect(find("bin/envoy/inside")).rejects.toMatchObject({ code: "ENVOY_NOT_FOUND" });
  await writeFile(join(folder, "plain"), "");
  await expect(find("plain")).rejects.toMatchObject({
    code: "ENVOY_NOT_EXECUTABLE",
    message: `Cannot run Envoy at "${folder}/plain" (ENVOY_BIN): it is not executable`,
  });
  await expect(find("bin")).rejects.toMatchObject({ code: "ENVOY_NOT_EXECUTABLE" });
  await symlink("loop", join(folder, "loop"));
  await expect(find("loop")).rejects.toMatchObject({ code: "ENVOY_NOT_EXECUTABLE" });
});

test("the usual place comes next, and is skipped silently when it holds no executable", async () => {
  const path = await cache(DEFAULT_ENVOY_VERSION);
  const options = { explicit: [], env: { HOME: folder }, cwd: folder, lock: PINNED };
  expect(await findEnvoy({ ...options, usual: join(folder, "usual") })).toMatchObject({ path, origin: "cache" });
  await writeProgram(join(folder, "usual"), "");
  expect(await findEnvoy({ ...options, usual: join(folder, "usual") })).toMatchObject({ path: join(folder, "usual") });
});

test("on PATH the first Envoy of a known version counts, and it beats the cache", async () => {
  await cache(DEFAULT_ENVOY_VERSION);
  const folders = [
    "relative",
    join(folder, "missing"),
    await onPath("other", "echo hello"),
    await onPath("broken", "exit 1"),
    await onPath("unknown", envoyScript("0.1.2")),
    await onPath("known", envoyScript("1.36.4")),
    await onPath("later", envoyScript(DEFAULT_ENVOY_VERSION)),
  ];
  const find = (count: number) =>
    findEnvoy({
      ...{ explicit: [], cwd: folder, lock: PINNED },
      env: { PATH: folders.slice(0, count).join(delimiter), HOME: folder },
    });
  expect(await find(5)).toMatchObject({ origin: "cache" });
  expect(await find(7)).toEqual({ path: join(folder, "known", "envoy"), version: "1.36.4", origin: "path" });
});

test("a version that was asked for is the only one that will do", async () => {
  const env = { PATH: await onPath("bin", envoyScript("1.36.4")), HOME: folder };
  const find = (version: string) => findEnvoy({ explicit: [], env, cwd: folder, version });
  expect(await find("1.30.0")).toBeUndefined();
  const path = await cache("1.30.0");
  expect(await find("1.30.0")).toEqual({ path, version: "1.30.0", origin: "cache" });
  expect(await find("1.36.4")).toMatchObject({ origin: "path" });
});

test("the cache is where the XDG specification says", () => {
  const rest = `pilotboat/envoy/${DEFAULT_ENVOY_VERSION}/${thisPlatform()}`;
  expect(cacheFolder({ HOME: "/home/me" })).toBe(`/home/me/.cache/${rest}`);
  expect(cacheFolder({ HOME: "/home/me", XDG_CACHE_HOME: "/caches" })).toBe(`/caches/${rest}`);
  expect(cacheFolder({ HOME: "/home/me", XDG_CACHE_HOME: "caches" })).toBe(`/home/me/.cache/${rest}`);
  expect(cacheFolder({ HOME: "/h" }, "1.2.3", "linux-arm64")).toBe("/h/.cache/pilotboat/envoy/1.2.3/linux-arm64");
});

test("the cache can be listed, also when there is none", async () => {
  expect(await cachedVersions({ HOME: folder })).toEqual([]);
  await cache("1.40.0");
  await cache("0.1.2");
  await mkdir(join(folder, ".cache/pilotboat/envoy/downloads"));
  expect(await cachedVersions({ HOME: folder })).toEqual(["0.1.2", "1.40.0"]);
});

test.each([
  ["\nenvoy  version: 0ebfcfe5b0/1.38.3/Modified/RELEASE/BoringSSL\n\n", "1.38.3"],
  ["/usr/local/bin/envoy  version: bad8280d/1.36.4/Clean/RELEASE/BoringSSL", "1.36.4"],
  ["envoy  version: bad8280d/1.41.0-dev/Clean/DEBUG/BoringSSL-FIPS", "1.41.0-dev"],
  ["/opt/mesh/proxy-server  version: bad8280d/1.38.3/Clean/RELEASE/BoringSSL", "1.38.3"],
  ["/opt/my mesh/envoy.bin  version: bad8280d/1.38.3/Distribution/RELEASE/BoringSSL", "1.38.3"],
  ["envoy version 1.38.3", undefined],
  ["node  version: abc/1.2.3/x", undefined],
  ["", undefined],
])("the version in %j is %s", (output, version) => {
  expect(parseVersion(output)).toBe(version);
});

test("a real Envoy tells the version that it was fetched as", async () => {
  expect(await askVersion(await realEnvoy(), {})).toBe(DEFAULT_ENVOY_VERSION);
  expect(await askVersion("/nowhere", {})).toBeUndefined();
});

test.each([
  ["text without a first line that says by what it is run", "exit 0\n", "not an executable for this platform"],
  ["nothing", "", "not an executable for this platform"],
  [
    "a program for another machine",
    elfHeader(process.arch === "x64" ? 183 : 62),
    `it is built for ${process.arch === "x64" ? "arm64" : "x64"}, this machine is ${process.arch}`,
  ],
])("an executable file that is %s is refused before it is tried", async (_what, content, why) => {
  await writeFile(join(folder, "envoy"), content, { mode: 0o755 });
  const explicit = [{ path: join(folder, "envoy"), from: "--envoy" }];
  await expect(findEnvoy({ explicit, env: {}, cwd: folder })).rejects.toMatchObject({
    code: "ENVOY_NOT_EXECUTABLE",
    message: `Cannot run Envoy at "${folder}/envoy" (--envoy): ${why}`,
  });
});

function elfHeader(machine: number): Buffer {
  const header = Buffer.alloc(64);
  header.write("\x7fELF\x02\x01\x01", "latin1");
  header.writeUInt16LE(machine, 18);
  return header;
}
