import { execFileSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { writeFileAtomically } from "../../src/base/index.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-files-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test("the file has exactly the mode asked for, and new folders are private", async () => {
  const path = join(folder, "new", "file");
  await writeFileAtomically(path, "x", { mode: 0o644 });
  expect((await stat(path)).mode & 0o777).toBe(0o644);
  expect((await stat(join(folder, "new"))).mode & 0o777).toBe(0o700);
});

test("a planted link is replaced, not followed", async () => {
  const victim = join(folder, "victim");
  await writeFile(victim, "precious");
  await symlink(victim, join(folder, "file"));
  await writeFileAtomically(join(folder, "file"), "new");
  expect(await readFile(victim, "utf8")).toBe("precious");
  expect(await readFile(join(folder, "file"), "utf8")).toBe("new");
});

test("a place that is no regular file is refused and stays, also behind a link", async () => {
  execFileSync("mkfifo", [join(folder, "pipe")]);
  await symlink("pipe", join(folder, "link"));
  for (const name of ["pipe", "link"]) {
    await expect(writeFileAtomically(join(folder, name), "x")).rejects.toMatchObject({
      code: "FILE_UNWRITABLE",
      message: expect.stringContaining("it is a FIFO, wanted a regular file"),
    });
  }
  expect((await stat(join(folder, "link"))).isFIFO()).toBe(true);
  expect((await readdir(folder)).sort()).toEqual(["link", "pipe"]);
});

test("a write that fails leaves the old file and no temporary one", async () => {
  await writeFile(join(folder, "folder"), "a file where a folder is wanted");
  await expect(writeFileAtomically(join(folder, "folder", "file"), "x")).rejects.toMatchObject({
    code: "FILE_UNWRITABLE",
  });
  expect(await readdir(folder)).toEqual(["folder"]);
});

test("a full disk keeps the old content", async () => {
  await expect(writeFileAtomically("/dev/full/x", "x")).rejects.toMatchObject({ code: "FILE_UNWRITABLE" });
});

test("a place where no folder can be made is refused at once", async () => {
  await expect(writeFileAtomically("/proc/nowhere/deep/file", "x")).rejects.toMatchObject({ code: "FILE_UNWRITABLE" });
});

test("writers that make the same folders at the same time do not disturb each other", async () => {
  for (let round = 0; round < 100; round++) {
    const depths = ["a", "a/b", "a/b/c", "a/b/c/d", "a/b/c/d/e"].map((depth) => join(folder, String(round), depth));
    await Promise.all(depths.map((depth) => writeFileAtomically(join(depth, "file"), "x")));
    expect(await readdir(join(folder, String(round), "a/b/c/d/e"))).toEqual(["file"]);
  }
});
