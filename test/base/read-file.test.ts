import { execFileSync } from "node:child_process";
import { chmod, chown, mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { checkRegularFile, isAbsent, readRegularFile, readTextFile } from "../../src/base/index.ts";
import { contentDigest } from "../../src/base/watch.ts";

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-read-"));
  path = join(folder, "file");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** What may stand where a file should be, how it is made, and what is said of it; undefined: it is read. */
const PLACES: readonly (readonly [string, () => Promise<unknown>, string | undefined])[] = [
  ["a file", () => writeFile(path, "text"), undefined],
  ["a link to a file", () => linkTo("target", "text"), undefined],
  ["a chain of links as Kubernetes lays it", () => mountedFile(), undefined],
  ["nothing", async () => undefined, "no such file or directory"],
  ["nothing, below a file", async () => useBelow(), "a part of its path is not a folder"],
  ["a link to nowhere", () => symlink("gone", path), 'it is a link to "gone", which leads to no file'],
  ["a link to itself", () => symlink(path, path), "its links form a loop"],
  ["a folder", () => mkdir(path), "it is a folder, wanted a regular file"],
  ["a link to a folder", () => symlink(folder, path), "it is a folder, wanted a regular file"],
  ["a FIFO that nobody writes to", async () => execFileSync("mkfifo", [path]), "it is a FIFO, wanted a regular file"],
  ["a device without an end", () => symlink("/dev/zero", path), "it is a device, wanted a regular file"],
  ["a terminal", () => symlink("/dev/ptmx", path), "it is a device, wanted a regular file"],
  ["the socket of a live program", () => listenAt(path), "it is a socket, wanted a regular file"],
];

describe.each(PLACES)("reality 6: %s where a file should be", (_what, make, problem) => {
  test("is read, or refused at once with what it is", async () => {
    await make();
    if (problem === undefined) {
      expect(await readTextFile(path)).toBe("text");
      await checkRegularFile(path);
    } else {
      for (const use of [readRegularFile, readTextFile, checkRegularFile]) {
        await expect(use(path)).rejects.toThrow(problem);
      }
    }
  });

  test("does not hang who watches its content", async () => {
    await make();
    expect(await contentDigest(path)).toMatch(/^[0-9a-f]{64}$/);
  });
});

test("reality 6: only a name that nothing has counts as absent: a link to nowhere was meant to be a file", async () => {
  expect(isAbsent(await readTextFile(path).catch((error: unknown) => error))).toBe(true);
  await symlink("gone", path);
  expect(isAbsent(await readTextFile(path).catch((error: unknown) => error))).toBe(false);
});

test("reality 6: a file over the limit is refused with its size, also one that says 0 bytes", async () => {
  await writeFile(path, "12345");
  expect(await readTextFile(path, { mostBytes: 5 })).toBe("12345");
  await expect(readTextFile(path, { mostBytes: 4 })).rejects.toThrow("it has 5 bytes, at most 4 are read");
  await expect(readTextFile("/proc/self/status", { mostBytes: 10 })).rejects.toThrow("at most 10 are read");
});

test("/dev/null is an empty file to who reads it, and no file to who looks for one", async () => {
  await symlink("/dev/null", path);
  expect(await readTextFile(path)).toBe("");
  await expect(checkRegularFile(path)).rejects.toThrow("it is a device");
});

test("a file of /proc, which says that it is empty, is read to its end", async () => {
  expect(await readTextFile("/proc/self/status")).toMatch(/^Name:[\s\S]*nonvoluntary_ctxt_switches:\t\d+\n$/);
});

test.skipIf(process.getuid?.() !== 0)("another user's file says who may read it (needs root to make one)", async () => {
  await writeFile(path, "text");
  await chown(path, 1337, 1337);
  await chmod(path, 0o600);
  await chmod(folder, 0o755);
  const own = process.geteuid as () => number;
  process.seteuid?.(65_534);
  try {
    expect(own()).toBe(65_534);
    await expect(readTextFile(path)).rejects.toThrow(
      /permission denied for uid 65534 gid 0, the file belongs to uid 1337 gid 1337 with mode 0600/,
    );
  } finally {
    process.seteuid?.(0);
  }
});

async function linkTo(name: string, text: string): Promise<void> {
  await writeFile(join(folder, name), text);
  await symlink(name, path);
}

async function mountedFile(): Promise<void> {
  await mkdir(join(folder, "..2026"));
  await writeFile(join(folder, "..2026", "file"), "text");
  await symlink("..2026", join(folder, "..data_tmp"));
  await rename(join(folder, "..data_tmp"), join(folder, "..data"));
  await symlink("..data/file", path);
}

async function useBelow(): Promise<void> {
  await writeFile(path, "text");
  path = join(path, "below");
}

async function listenAt(at: string): Promise<void> {
  const server = createServer().unref();
  await new Promise<void>((resolve) => server.listen(at, resolve));
}
