import { expect, test } from "vitest";
import { startOf, startTicks } from "../../src/host/process-identity.ts";

/** A line of /proc/<pid>/stat, proc_pid_stat(5). */
const statOf = (state: string, threads: number) =>
  `71 (envoy) x) ${state} ${"0 ".repeat(16)}${threads} 0 4711 ${"0 ".repeat(30)}`;

test.each([
  ["a process that runs", "S", 9, "4711"],
  ["a process whose first thread is gone while others still hold its sockets", "Z", 2, "4711"],
  ["a process that exited and that its parent has not yet collected", "Z", 1, undefined],
  ["a process that the kernel is removing", "X", 1, undefined],
])("%s", (_, state, threads, ticks) => expect(startTicks(statOf(state, threads))).toBe(ticks));

test("no process has no start", async () => {
  expect(startTicks("")).toBeUndefined();
  expect(await startOf(2 ** 22 + 1)).toBeUndefined();
});

test("this process has a start that stays", async () =>
  expect(await startOf(process.pid)).toBe(await startOf(process.pid)));
