import { readFileSync } from "node:fs";
import { runProgram } from "./run-program.ts";

/**
 * When a process was started, in a form that a later process with the same pid never has: boot and clock tick on
 * Linux, the second elsewhere. Undefined when there is no such process, or only what its parent has not yet collected.
 */
export async function startOf(pid: number): Promise<string | undefined> {
  if (process.platform !== "linux") return ask(pid, "lstart=");
  const ticks = startTicks(text(`/proc/${pid}/stat`));
  return ticks === undefined ? undefined : `${text("/proc/sys/kernel/random/boot_id").trim()}/${ticks}`;
}

/**
 * The clock tick at which a process started, from the text of its `/proc/<pid>/stat`. Undefined when it has exited. A
 * killed process shows `Z` as soon as its first thread is gone; it holds its sockets until the last one is.
 */
export function startTicks(stat: string): string | undefined {
  // the name in parentheses may hold anything, blanks and parentheses too
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state, threads, ticks] = [STATE, THREADS, START_TIME].map((number) => fields[number - STATE]);
  const exited = state === "X" || (state === "Z" && Number(threads) <= 1);
  return exited ? undefined : ticks;
}

/** The command line as one text, words divided by single blanks; undefined when there is none. */
export async function commandLineOf(pid: number): Promise<string | undefined> {
  if (process.platform !== "linux") return ask(pid, "command=");
  const words = (await argumentsOf(pid)).join(" ").trim();
  return words === "" ? undefined : words;
}

/** The words that a process was started with, its program first. Linux only; empty when it is gone. */
export async function argumentsOf(pid: number): Promise<readonly string[]> {
  return text(`/proc/${pid}/cmdline`).split("\0").slice(0, -1); // each ends with one
}

/** The user that a process runs as: its real and effective user, where they are one. Undefined when they are not, or it is gone. */
export async function ownerOf(pid: number): Promise<number | undefined> {
  if (process.platform !== "linux") return Number((await ask(pid, "uid=")) ?? Number.NaN);
  const [, real, effective] = /^Uid:\t(\d+)\t(\d+)/m.exec(text(`/proc/${pid}/status`)) ?? [];
  return real === undefined || real !== effective ? undefined : Number(real);
}

/**
 * Whether a process was started with this variable in its environment, which nobody but itself can write. Undefined where
 * the system does not show it.
 */
export async function wasStartedWith(pid: number, name: string, value: string): Promise<boolean | undefined> {
  if (process.platform !== "linux") return undefined;
  return text(`/proc/${pid}/environ`).split("\0").includes(`${name}=${value}`);
}

/** Numbers of fields, from proc_pid_stat(5). */
const STATE = 3;
const THREADS = 20;
const START_TIME = 22;

const ASK_LIMIT_MS = 2_000;

/** A locale of its own, because the month's name is part of the answer. */
async function ask(pid: number, column: string): Promise<string | undefined> {
  const options = { limitMs: ASK_LIMIT_MS, env: { PATH: "/bin:/usr/bin", LC_ALL: "C" } };
  const ran = await runProgram("ps", ["-ww", "-o", column, "-p", String(pid)], options).catch(() => undefined);
  return ran?.code === 0 ? ran.stdout.toString("utf8").trim() || undefined : undefined;
}

/** The kernel answers at once; a thread of the pool would first have to be free. */
function text(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // it ended
  }
}
