import { chmod, mkdir, mkdtemp, readdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { watchPaths } from "../../src/base/index.ts";
import { contentDigest } from "../../src/base/watch.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-watch-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test("a change of content is told once for a burst, a rewrite of the same content is not told", async () => {
  const file = join(folder, "a");
  await writeFile(file, "1");
  await using seen = await watch([file]);
  for (let i = 2; i < 10; i++) await writeFile(file, `${i}`);
  await expect.poll(() => seen.count).toBe(1);
  await writeFile(file, "9");
  await writeFile(join(folder, "other"), "x");
  await writeFile(file, "10");
  await expect.poll(() => seen.count).toBe(2);
});

test("a file that appears in folders that appear is told, and its going, too", async () => {
  await using seen = await watch([join(folder, "a", "b", "c")]);
  await mkdir(join(folder, "a", "b"), { recursive: true });
  await writeFile(join(folder, "a", "b", "c"), "x");
  await expect.poll(() => seen.count).toBe(1);
  await rename(join(folder, "a"), join(folder, "z"));
  await expect.poll(() => seen.count).toBe(2);
  await rename(join(folder, "z"), join(folder, "a"));
  await expect.poll(() => seen.count).toBe(3);
});

test("a folder counts with everything below it", async () => {
  await using seen = await watch([folder]);
  await mkdir(join(folder, "sub"));
  await expect.poll(() => seen.count).toBe(1);
  await writeFile(join(folder, "sub", "file"), "1");
  await expect.poll(() => seen.count).toBe(2);
  await writeFile(join(folder, "sub", "file"), "2");
  await expect.poll(() => seen.count).toBe(3);
  await rm(join(folder, "sub"), { recursive: true });
  await expect.poll(() => seen.count).toBe(4);
});

test("a link that is turned to another folder is followed", async () => {
  for (const version of ["1", "2"]) {
    await mkdir(join(folder, version));
    await writeFile(join(folder, version, "file"), version);
  }
  await symlink("1", join(folder, "current"));
  await using seen = await watch([join(folder, "current", "file")]);
  await symlink("2", join(folder, "next"));
  await rename(join(folder, "next"), join(folder, "current"));
  await expect.poll(() => seen.count).toBe(1);
  await writeFile(join(folder, "2", "file"), "new");
  await expect.poll(() => seen.count).toBe(2);
});

test("links in a circle do no harm", async () => {
  await symlink("b", join(folder, "a"));
  await symlink("a", join(folder, "b"));
  await symlink(".", join(folder, "self"));
  await using seen = await watch([join(folder, "a"), folder]);
  await writeFile(join(folder, "file"), "x");
  await expect.poll(() => seen.count).toBe(1);
});

test("without any event the poll finds the change", async () => {
  const file = join(folder, "a");
  await writeFile(file, "1");
  let told = 0;
  const onChange = (): void => void told++;
  await using _watch = await watchPaths({ paths: [file], onChange, debounceMs: 1e9, pollMs: 20 });
  await writeFile(file, "2");
  await expect.poll(() => told).toBe(1);
});

test("nothing is told after the end, and no watch stays open", async () => {
  const before = await watchCount();
  const seen = await watch([join(folder, "a"), join(folder, "b", "c")]);
  expect(await watchCount()).toBeGreaterThan(before);
  await seen[Symbol.asyncDispose]();
  await writeFile(join(folder, "a"), "x");
  expect(await watchCount()).toBe(before);
  expect(seen.count).toBe(0);
});

test("the digest of a folder depends on names and contents", async () => {
  await writeFile(join(folder, "a"), "x");
  const first = await contentDigest(folder);
  await rename(join(folder, "a"), join(folder, "b"));
  const renamed = await contentDigest(folder);
  await chmod(join(folder, "b"), 0o600);
  expect(renamed).not.toBe(first);
  expect(await contentDigest(folder)).toBe(renamed);
  expect(await contentDigest(join(folder, "none"))).not.toBe(await contentDigest(join(folder, "b")));
});

interface Seen extends AsyncDisposable {
  count: number;
}

async function watch(paths: readonly string[]): Promise<Seen> {
  const seen = { count: 0 };
  const watching = await watchPaths({ paths, onChange: () => seen.count++, debounceMs: 30 });
  return Object.assign(seen, { [Symbol.asyncDispose]: () => watching[Symbol.asyncDispose]() });
}

/** Open inotify watches of this process; 0 where that cannot be known. */
async function watchCount(): Promise<number> {
  const { readFile } = await import("node:fs/promises");
  const names = await readdir("/proc/self/fdinfo").catch(() => []);
  const texts = await Promise.all(names.map((name) => readFile(`/proc/self/fdinfo/${name}`, "utf8").catch(() => "")));
  return texts.join("\n").match(/^inotify wd:/gm)?.length ?? 0;
}
