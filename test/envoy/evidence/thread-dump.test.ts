import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { dumpThreads } from "../../../src/envoy/evidence/thread-dump.ts";

let proc: string;
beforeEach(async () => {
  proc = await mkdtemp(join(tmpdir(), "pb-threads-"));
});
afterEach(() => rm(proc, { recursive: true, force: true }));

async function putThread(id: number, files: Readonly<Record<string, string>>): Promise<string> {
  const folder = join(proc, "7/task", String(id));
  await mkdir(folder, { recursive: true });
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  return folder;
}

test("each thread is a line, with its kernel stack below", async () => {
  await putThread(7, {
    comm: "envoy (main) x\n",
    status: "Name:\tenvoy\nState:\tS (sleeping)\nTgid:\t7\n",
    wchan: "futex_wait_queue",
    syscall: "202 0x7f 0x80 0x0 0x0 0x0 0x7ffd 0x7f12\n",
    stat: `7 (envoy (main) x) S 1 7 7 0 -1 4194304 1 2 3 4 55 66 7 8 20 0 1 0 100 0 0`,
    stack: "[<0>] futex_wait_queue+0x65/0x90\n[<0>] do_futex+0x1/0x2\n",
  });
  await putThread(8, { comm: "wrk:worker_0\n", status: "State:\tR (running)\n", wchan: "0", syscall: "running\n" });
  expect(await dumpThreads(7, { proc })).toBe(
    [
      "thread 7, name envoy (main) x, state S (sleeping), wchan futex_wait_queue, syscall 202, cpu 55+66 ticks",
      "    [<0>] futex_wait_queue+0x65/0x90",
      "    [<0>] do_futex+0x1/0x2",
      "thread 8, name wrk:worker_0, state R (running), wchan -, syscall running, cpu ?+? ticks",
      "",
    ].join("\n"),
  );
});

test("no more than 256 threads and 2000 characters of a file are shown", async () => {
  for (let id = 1; id <= 300; id++) await putThread(id, { comm: "x".repeat(5_000) });
  const dump = (await dumpThreads(7, { proc, limitMs: 30_000 })) ?? "";
  const [first, second = "", ...rest] = dump.trimEnd().split("\n");
  expect(first).toBe("300 threads, of which the first 256 are shown");
  expect(second.match(/name (x+),/)?.[1]).toHaveLength(2_000);
  expect(rest).toHaveLength(255);
});

test("nobody is nothing", async () => {
  expect(await dumpThreads(7, { proc })).toBeUndefined();
  expect(await dumpThreads(7, { proc: join(proc, "nowhere") })).toBeUndefined();
});

describe.skipIf(process.platform !== "linux")("on Linux", () => {
  test("a read that hangs does not hang the dump", async () => {
    await putThread(7, { comm: "first\n" });
    const folder = await putThread(8, { comm: "second\n" });
    await rm(join(folder, "wchan"), { force: true });
    await promisify(execFile)("mkfifo", [join(folder, "wchan")]); // nobody ever writes
    const dump = await dumpThreads(7, { proc, limitMs: 200 });
    expect(dump).toMatch(/^thread 7, name first, .*\ncut off after 200 ms\n$/);
    await writeFile(join(folder, "wchan"), ""); // lets the read go
  });

  test("a real process is shown with its threads", async () => {
    const child = spawn("/bin/sleep", ["600"], { stdio: "ignore" });
    await once(child, "spawn");
    await expect.poll(() => dumpThreads(child.pid ?? 0)).toMatch(/^thread \d+, name sleep, state S \(sleeping\), /);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(await dumpThreads(child.pid ?? 0)).toBeUndefined();
  });
});
