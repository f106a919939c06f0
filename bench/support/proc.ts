import { readdirSync, readFileSync, writeFileSync } from "node:fs";

// What Linux says of a process under /proc.

const TICK_SECONDS = 0.01; // USER_HZ is 100 on every platform that Node runs on

/** CPU time that a process has used, user and system, in seconds. Its grain is 10 ms. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // the name before may hold spaces
  return (Number(fields[11]) + Number(fields[12])) * TICK_SECONDS;
}

/** CPU time of the threads that live, in seconds, from the scheduler's own count, whose unit is the nanosecond. */
export function threadSeconds(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  const spent = threads.map((id) => Number(readFileSync(`/proc/${pid}/task/${id}/schedstat`, "utf8").split(" ")[0]));
  return spent.reduce((sum, ns) => sum + ns, 0) / 1e9;
}

/** Resident memory in MiB: now, its anonymous part, and the most since the last `resetPeak`. */
export function memoryMb(pid: number): { readonly rss: number; readonly anonymous: number; readonly peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const mb = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) / 1_024;
  return { rss: mb("VmRSS"), anonymous: mb("RssAnon"), peak: mb("VmHWM") };
}

/** Resident memory in MiB with each shared page divided among its users. */
export function proportionalMb(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1]) / 1_024;
}

/** The peak of `memoryMb` begins anew. */
export function resetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
}

/** Open handles. */
export function handleCount(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
