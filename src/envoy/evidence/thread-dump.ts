import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

export interface ThreadDumpOptions {
  /** Where the kernel shows processes. Default `/proc`. */
  readonly proc?: string;
  /** Default 1 s; what was read until then is given. */
  readonly limitMs?: number;
}

const LIMIT_MS = 1_000;
const MOST_THREADS = 256;
/** Of one file; a kernel stack has about ten lines. */
const MOST_CHARACTERS = 2_000;

/**
 * What each thread of a process is doing, as far as the kernel tells without a debugger: its name, state, the kernel
 * function it waits in, its system call and, for root, its kernel stack. Two dumps a moment apart also tell, by the CPU
 * time, whether a thread spins. Undefined where there is no such process or no /proc. Never rejects.
 */
export async function dumpThreads(pid: number, options: ThreadDumpOptions = {}): Promise<string | undefined> {
  const { proc = "/proc", limitMs = LIMIT_MS } = options;
  const folder = join(proc, String(pid), "task");
  const lines: string[] = [];
  let isLate = false;
  const reading = (async () => {
    const ids = await readdir(folder).catch(() => []);
    if (ids.length > MOST_THREADS) lines.push(`${ids.length} threads, of which the first ${MOST_THREADS} are shown`);
    for (const id of ids.slice(0, MOST_THREADS)) {
      const thread = await describeThread(join(folder, id), id);
      if (isLate) return;
      lines.push(...thread);
    }
  })();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      isLate = true;
      lines.push(`cut off after ${limitMs} ms`);
      resolve();
    }, limitMs);
  });
  await Promise.race([reading, late]); // a read that hangs with the process is left behind
  clearTimeout(timer);
  return lines.length === 0 ? undefined : `${lines.join("\n")}\n`;
}

async function describeThread(folder: string, id: string): Promise<string[]> {
  const names = ["comm", "status", "wchan", "syscall", "stat", "stack"] as const;
  const [comm, status, wchan, syscall, stat, stack] = await Promise.all(names.map((name) => read(join(folder, name))));
  if (comm === undefined) return []; // it ended
  const [, state = "?"] = /^State:\s*(.*)$/m.exec(status ?? "") ?? [];
  const [userTicks, systemTicks] = (stat ?? "")
    .slice((stat ?? "").lastIndexOf(")") + 2)
    .split(" ")
    .slice(...CPU_TICKS);
  const facts = [
    `thread ${id}`,
    `name ${comm}`,
    `state ${state}`,
    `wchan ${wchan === "0" || wchan === "" ? "-" : (wchan ?? "unreadable")}`,
    `syscall ${describeSyscall(syscall)}`,
    `cpu ${userTicks ?? "?"}+${systemTicks ?? "?"} ticks`,
  ];
  const frames = (stack ?? "").split("\n").filter((frame) => frame !== "");
  return [facts.join(", "), ...frames.map((frame) => `    ${frame}`)];
}

/** Fields 14 and 15 of proc_pid_stat(5), user and system time, counted from the third. */
const CPU_TICKS = [11, 13] as const;

/** `running`, or the number of the call and its arguments, of which the number is enough. */
function describeSyscall(text: string | undefined): string {
  return text === undefined ? "unreadable" : (text.split(" ")[0] ?? "-");
}

async function read(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").then(
    (text) => text.trim().slice(0, MOST_CHARACTERS),
    () => undefined, // another user's, or gone
  );
}
