import { readdirSync, readFileSync } from "node:fs";

/** Whether a process runs; one that has ended but was not yet collected by its parent does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return process.platform !== "linux"; // on Linux it ended between the two looks
  }
}

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
