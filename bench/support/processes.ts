import { readdirSync, readFileSync } from "node:fs";

/** The processes that any thread of `pid` started and that are not collected yet; none when it is gone. Linux only. */
export function childrenOf(pid: number): number[] {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    const lists = threads.map((thread) => readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8"));
    return lists
      .flatMap((list) => list.trim().split(" "))
      .filter((word) => word !== "")
      .map(Number);
  } catch {
    return [];
  }
}

/** CPU time that a process has used, user and system, in milliseconds; its grain is 10 ms. */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // the name before may hold spaces
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

const TICK_MS = 10; // USER_HZ is 100 on every platform that Node runs on
