import { execFileSync } from "node:child_process";
import { lstat, mkdtemp, readFile, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Runtime, run, runtimes, start } from "../support/pilotboat.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-dry-run-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Calls and rules, from the first line to the last one. */
const LINES = /^iptables-save\n(?:.*\n)*\* nat\n(?:-.*\n)+COMMIT\n(?:ip6?tables-save\n)+$/;

const isRoot = process.getuid?.() === 0;

/** As root in a network namespace of its own: rules need an address, and a test's namespace may have none. */
function withAddress({ name, command }: Runtime): Runtime {
  const script = 'ip link set lo up; ip address add 10.3.3.3/32 dev lo; exec "$@"';
  return isRoot ? { name, command: ["unshare", "--net", "sh", "-c", script, "sh", ...command] } : { name, command };
}

describe.each(runtimes().map(withAddress))("the file of a dry run, by $name", (runtime) => {
  const env = () => ({ DRY_RUN_FILE_PATH: join(folder, "rules") });
  const dryRun = () => run(runtime, ["iptables", "--dry-run", "-b", "*"], { env: env() });

  test("replaces what the file had, and a link keeps leading to it", async () => {
    await writeFile(join(folder, "target"), "x".repeat(100_000));
    await symlink("target", join(folder, "rules"));
    expect(await dryRun()).toMatchObject({ code: 0, stderr: "" });
    expect(await readFile(join(folder, "target"), "utf8")).toMatch(LINES);
    expect(await readlink(join(folder, "rules"))).toBe("target");
  });

  test.skipIf(!isRoot)("a device gets it and stays a device (as root)", async () => {
    execFileSync("mknod", [join(folder, "rules"), "c", "1", "3"]);
    expect(await dryRun()).toMatchObject({ code: 0, stderr: "" });
    expect((await lstat(join(folder, "rules"))).isCharacterDevice()).toBe(true);
  });

  test("a reader of a FIFO gets it; without one it is refused, and the FIFO stays", async () => {
    execFileSync("mkfifo", [join(folder, "rules")]);
    const alone = await dryRun();
    expect(alone.code).toBe(1);
    expect(alone.stderr).toMatch(/^Error: Cannot write the dry run to ".*rules": .*\[FILE_UNWRITABLE\]\n/);
    await using reader = start({ name: "cat", command: ["cat"] }, [join(folder, "rules")]);
    await expect.poll(async () => (await dryRun()).code, { timeout: 20_000 }).toBe(0);
    await reader.ended;
    expect(reader.stdout()).toMatch(LINES);
    expect((await lstat(join(folder, "rules"))).isFIFO()).toBe(true);
  });

  test("a missing folder is not made", async () => {
    const ended = await run(runtime, ["iptables", "--dry-run"], {
      env: { DRY_RUN_FILE_PATH: join(folder, "missing", "rules") },
    });
    expect(ended.code).toBe(1);
    expect(ended.stderr).toMatch(
      /Cannot write the dry run to ".*missing\/rules": .*No such file.*\[FILE_UNWRITABLE\]/i,
    );
    await expect(lstat(join(folder, "missing"))).rejects.toMatchObject({ code: "ENOENT" });
  });
});
