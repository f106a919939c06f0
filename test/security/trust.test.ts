import { execFileSync } from "node:child_process";
import { chmod, chown, lchown, link, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { judgeFolder, openTrustedFolder, readTrustedFile, trustedUsers } from "../../src/base/index.ts";
import { asRoot, STRANGER } from "./users.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-trust-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const US = trustedUsers();

async function make(name: string, mode = 0o755): Promise<string> {
  const path = join(folder, name);
  await mkdir(path);
  await chmod(path, mode);
  return path;
}

describe("hostile 2: folders are judged all the way up", () => {
  test("hostile 2: what only we and root can write is opened, through links, too", async () => {
    await make("a");
    await make("a/b");
    await writeFile(join(folder, "a/b/file"), "ours");
    await symlink("a/../a/b", join(folder, "relative"));
    await symlink(join(folder, "a"), join(folder, "absolute"));
    for (const path of ["a/b", "relative", "absolute/b", "absolute/../a/b"]) {
      await using opened = await openTrustedFolder(join(folder, path), US);
      expect(await readFile(opened.at("file"), "utf8")).toBe("ours");
    }
  });

  test.each([
    ["everybody", 0o777, /can be written by everybody \(mode 0777\)/],
    ["everybody, sticky", 0o1777, /can be written by everybody \(mode 1777\)/],
    ["its group", 0o775, /can be written by its group 0|^nothing$/],
  ])("hostile 2: a folder that %s can write is refused", async (_whom, mode, reason) => {
    const path = await make("open", mode);
    const why = await judgeFolder(path, US).then(() => "nothing", String);
    expect(why).toMatch(reason);
  });

  test("what cannot be looked at is no folder to rely on, and is named by its own path", async () => {
    const path = join(folder, "x".repeat(300));
    const message = expect.stringMatching(/^Cannot look whether ".*" can be relied on: ENAMETOOLONG: .*'\/[^']*\/x+'$/);
    await expect(judgeFolder(join(path, "below"), US)).rejects.toMatchObject({ code: "UNTRUSTED_PATH", message });
    await expect(judgeFolder(path, US)).rejects.toThrow(folder);
  });

  test("hostile 2: one that lies below such a folder is refused, unless that one is sticky", async () => {
    const open = await make("open", 0o777);
    await make("open/inner");
    await expect(judgeFolder(join(open, "inner"), US)).rejects.toMatchObject({
      code: "UNTRUSTED_PATH",
      message: `Cannot rely on "${open}/inner": it lies below "${open}", which can be written by everybody (mode 0777)`,
    });
    await chmod(open, 0o1777);
    await judgeFolder(join(open, "inner"), US);
  });

  test("hostile 2: links that lead round in a circle, and files in the way, end in an error", async () => {
    await symlink("b", join(folder, "a"));
    await symlink("a", join(folder, "b"));
    await expect(judgeFolder(join(folder, "a/x"), US)).rejects.toThrow("forms a loop");
    await writeFile(join(folder, "file"), "");
    await expect(openTrustedFolder(join(folder, "file/x"), US)).rejects.toMatchObject({ code: "ENOTDIR" });
    await expect(openTrustedFolder(join(folder, "missing"), US)).rejects.toMatchObject({ code: "ENOENT" });
    await judgeFolder(join(folder, "missing/deep"), US); // nothing there is nothing to distrust
  });

  test.skipIf(!asRoot)(
    "hostile 2: another user's folder and link are refused, also above and below sticky ones",
    async () => {
      const theirs = await make("theirs");
      await make("theirs/ours");
      await chown(theirs, STRANGER, STRANGER);
      for (const path of [theirs, join(theirs, "ours"), join(theirs, "ours/missing")]) {
        await expect(judgeFolder(path, US)).rejects.toThrow(`belongs to uid ${STRANGER}`);
      }
      await judgeFolder(join(theirs, "ours"), trustedUsers(STRANGER));
      const sticky = await make("sticky", 0o1777);
      await make("good");
      await symlink(join(folder, "good"), join(sticky, "link"));
      await judgeFolder(join(sticky, "link"), US);
      await lchown(join(sticky, "link"), STRANGER, STRANGER);
      await expect(judgeFolder(join(sticky, "link"), US)).rejects.toThrow(`belongs to uid ${STRANGER}`);
    },
  );

  test("hostile 2: what was opened stays what it was when its name changes", async () => {
    await make("real");
    await writeFile(join(folder, "real/file"), "ours");
    await using opened = await openTrustedFolder(join(folder, "real"), US);
    await rm(join(folder, "real"), { recursive: true });
    await make("real");
    await writeFile(join(folder, "real/file"), "forged");
    const read = await readFile(opened.at("file"), "utf8").catch(() => "gone");
    expect(read).toBe(process.platform === "linux" ? "gone" : "forged"); // without /proc only names can be judged
  });
});

describe("hostile 2: files are judged open", () => {
  const read = (path: string): Promise<string> => readTrustedFile(path, US, 1_000);

  test("hostile 2: a file of ours is read; a writable, linked, large or odd one is not", async () => {
    const path = join(folder, "file");
    await writeFile(path, "ours", { mode: 0o600 });
    expect(await read(path)).toBe("ours");
    await symlink(path, join(folder, "link"));
    await expect(read(join(folder, "link"))).rejects.toMatchObject({ code: "ELOOP" });
    await chmod(path, 0o602);
    await expect(read(path)).rejects.toThrow("can be written by everybody");
    await chmod(path, 0o600);
    await link(path, join(folder, "second"));
    await expect(read(path)).rejects.toThrow("has 2 names");
    execFileSync("mkfifo", [join(folder, "fifo")]);
    await expect(read(join(folder, "fifo"))).rejects.toThrow("is no regular file");
    await expect(read(folder)).rejects.toThrow("is no regular file");
    await writeFile(join(folder, "large"), "x".repeat(1_001), { mode: 0o600 });
    await expect(read(join(folder, "large"))).rejects.toThrow("has 1001 bytes, at most 1000 are read");
  });

  test.skipIf(!asRoot)("hostile 2: another user's file is not read", async () => {
    const path = join(folder, "file");
    await writeFile(path, "forged", { mode: 0o600 });
    await chown(path, STRANGER, STRANGER);
    await expect(read(path)).rejects.toThrow(`belongs to uid ${STRANGER}`);
  });
});
