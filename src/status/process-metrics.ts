import { readdirSync, readFileSync } from "node:fs";

/** Clock ticks per second in /proc; 100 on every Linux that Envoy runs on (`getconf CLK_TCK`). */
const TICKS_PER_SECOND = 100;

/** What every family of this kind begins with. */
export const PROCESS = "process_";

export interface Family {
  readonly name: string;
  /** In text format, under its own name or another. */
  render(name: string): string;
}

/**
 * The `process_*` families that Prometheus clients of every language expose, sorted by name. Empty where there is no
 * /proc. Source: prometheus/client_golang collectors/process_collector.
 */
export function readProcessMetrics(): readonly Family[] {
  const read = (name: string): string => readFileSync(`/proc/${name}`, "utf8"); // the kernel answers at once: a thread costs more
  try {
    const files = { stat: read("self/stat"), limits: read("self/limits"), network: read("self/net/dev") };
    const descriptors = readdirSync("/proc/self/fd").length;
    return rows({ ...files, descriptors, uptime: read("uptime") }).map(familyOf);
  } catch {
    return []; // not Linux, or /proc is hidden: other metrics must not suffer
  }
}

interface ProcFiles {
  readonly stat: string;
  readonly limits: string;
  readonly network: string;
  readonly descriptors: number;
  readonly uptime: string;
}

type Row = readonly [name: string, type: "counter" | "gauge", help: string, value: number];

function rows({ stat, limits, network, descriptors, uptime }: ProcFiles): Row[] {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // from field 3; the command may hold blanks
  const field = (number: number): number => Number(fields[number - 3]);
  const cpuSeconds = (field(14) + field(15)) / TICKS_PER_SECOND;
  const bootSeconds = Date.now() / 1_000 - Number.parseFloat(uptime);
  const traffic = networkBytes(network);
  return [
    ["cpu_seconds_total", "counter", "User and system CPU time spent, in seconds.", cpuSeconds],
    ["max_fds", "gauge", "Most file descriptors that may be open.", limit(limits, "Max open files")],
    ["network_receive_bytes_total", "counter", "Bytes received by the network namespace.", traffic.received],
    ["network_transmit_bytes_total", "counter", "Bytes sent by the network namespace.", traffic.sent],
    ["open_fds", "gauge", "File descriptors that are open.", descriptors],
    ["resident_memory_bytes", "gauge", "Resident memory, in bytes.", process.memoryUsage.rss()],
    [
      "start_time_seconds",
      "gauge",
      "Start of the process, in seconds since the epoch.",
      bootSeconds + field(22) / TICKS_PER_SECOND,
    ],
    ["virtual_memory_bytes", "gauge", "Virtual memory, in bytes.", field(23)],
    [
      "virtual_memory_max_bytes",
      "gauge",
      "Most virtual memory that may be used, in bytes; -1 is unlimited.",
      limit(limits, "Max address space", -1),
    ],
  ];
}

function familyOf([name, type, help, value]: Row): Family {
  return {
    name: PROCESS + name,
    render: (as) => `# HELP ${as} ${help}\n# TYPE ${as} ${type}\n${as} ${value}\n`,
  };
}

function limit(limits: string, name: string, unlimited = Number.MAX_SAFE_INTEGER): number {
  const soft = limits
    .split("\n")
    .find((line) => line.startsWith(name))
    ?.slice(name.length)
    .trim()
    .split(/\s+/)[0];
  return soft === undefined || soft === "unlimited" ? unlimited : Number(soft);
}

/** Sums over all interfaces but the loopback. */
function networkBytes(table: string): { received: number; sent: number } {
  const total = { received: 0, sent: 0 };
  for (const line of table.split("\n").slice(2)) {
    const [name = "", counters = ""] = line.split(":");
    if (counters === "" || name.trim() === "lo") continue;
    const values = counters.trim().split(/\s+/).map(Number);
    total.received += values[0] ?? 0;
    total.sent += values[8] ?? 0;
  }
  return total;
}
