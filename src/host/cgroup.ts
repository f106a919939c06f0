import { readFileSync } from "node:fs";
import { join, posix } from "node:path";

/** What the control groups of this process allow; undefined where nothing limits it, or the limit is unknown. */
export interface CgroupLimits {
  /** CPU quota in CPUs, 1.5 for instance. */
  readonly cpus: number | undefined;
  readonly memoryBytes: number | undefined;
}

export interface Cgroup {
  readonly limits: CgroupLimits;
  /**
   * How many processes the kernel has killed so far in this group for want of memory. More after an end than before
   * the spawn: Envoy may be one of them. Undefined where the kernel does not count.
   */
  oomKills(): Promise<number | undefined>;
}

/**
 * Reads the limits of the process's own groups, versions 1 and 2, and of those above them as far as they are mounted:
 * the tightest one holds. Never rejects; no Linux means no limits. `root` is the root of the file system.
 */
export async function readCgroup(root = "/"): Promise<Cgroup> {
  const groups = findGroups(root);
  const cpus = groups.flatMap(({ version, folders }) => folders.map((folder) => CPU_QUOTA[version](folder)));
  const memory = groups.flatMap(({ version, folders }) => folders.map((folder) => MEMORY_LIMIT[version](folder)));
  return {
    limits: { cpus: least(cpus), memoryBytes: least(memory) },
    async oomKills() {
      const counts = groups.map(({ version, folders }) => oomCount(version, folders[0] ?? ""));
      return counts.find((count) => count !== undefined);
    },
  };
}

/** Whole CPUs that make use of a quota: the least number of threads that can use all of it. */
export function wholeCpus(quota: number): number {
  return Math.max(1, Math.ceil(quota));
}

type Version = "v1" | "v2";

interface Group {
  readonly version: Version;
  /** Own group first, then what is above it, as far as it can be seen. */
  readonly folders: readonly string[];
}

const CPU_QUOTA: Readonly<Record<Version, (folder: string) => number | undefined>> = {
  v2(folder) {
    const [quota, period] = text(join(folder, "cpu.max")).split(" ");
    return ratio(quota, period);
  },
  v1(folder) {
    return ratio(text(join(folder, "cpu.cfs_quota_us")), text(join(folder, "cpu.cfs_period_us")));
  },
};

/** Version 1 says "no limit" by the largest multiple of a page; nobody has that much. */
const LEAST_UNLIMITED = 2 ** 60;

const MEMORY_LIMIT: Readonly<Record<Version, (folder: string) => number | undefined>> = {
  v2: (folder) => positive(text(join(folder, "memory.max"))),
  v1(folder) {
    const bytes = positive(text(join(folder, "memory.limit_in_bytes")));
    return bytes !== undefined && bytes < LEAST_UNLIMITED ? bytes : undefined;
  },
};

/** Both files hold the line `oom_kill N`. Source: Linux Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst. */
function oomCount(version: Version, folder: string): number | undefined {
  const content = text(join(folder, version === "v2" ? "memory.events" : "memory.oom_control"));
  const [, count] = /^oom_kill (\d+)$/m.exec(content) ?? [];
  return count === undefined ? undefined : Number(count);
}

/** The folders of this process's groups, by the two tables that the kernel keeps of them. */
function findGroups(root: string): Group[] {
  const paths = parseOwnGroups(text(join(root, "proc/self/cgroup")));
  return parseMounts(text(join(root, "proc/self/mountinfo"))).flatMap(
    ({ version, controllers, mountRoot, mountPoint }) => {
      const path = version === "v2" ? paths.get("") : controllers.map((one) => paths.get(one)).find((one) => one);
      if (path === undefined) return [];
      return [{ version, folders: upwards(path, mountRoot).map((below) => join(root, mountPoint, below)) }];
    },
  );
}

/** Path by controller; the one of version 2 stands under the empty name. Line: `4:cpu,cpuacct:/pod/container`. */
function parseOwnGroups(content: string): Map<string, string> {
  const paths = new Map<string, string>();
  for (const line of content.split("\n")) {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) continue;
    for (const controller of controllers.split(",")) paths.set(controller, path);
  }
  return paths;
}

interface Mount {
  readonly version: Version;
  readonly controllers: readonly string[];
  /** Which group the mount point shows: `/` or, without a namespace of its own, the container's. */
  readonly mountRoot: string;
  readonly mountPoint: string;
}

const LIMITING = ["cpu", "memory"];

/** Line: `31 23 0:28 <root> <mount point> rw,relatime - cgroup cgroup rw,memory`. Source: proc_pid_mountinfo(5). */
function parseMounts(content: string): Mount[] {
  return content.split("\n").flatMap((line): Mount[] => {
    const [before = "", after = ""] = line.split(" - ");
    const [, , , mountRoot = "/", mountPoint = ""] = before.split(" ").map(unescapeMount);
    const [type, , options = ""] = after.split(" ");
    if (type === "cgroup2") return [{ version: "v2", controllers: [], mountRoot, mountPoint }];
    if (type !== "cgroup") return [];
    const controllers = options.split(",").filter((option) => LIMITING.includes(option));
    return controllers.length === 0 ? [] : [{ version: "v1", controllers, mountRoot, mountPoint }];
  });
}

function unescapeMount(field: string): string {
  return field.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** The group's path below the mount point, then those above it: `a/b`, `a`, ``. */
function upwards(path: string, mountRoot: string): string[] {
  const below = posix.relative(mountRoot, path);
  if (below.startsWith("..")) return [""]; // outside of what is mounted: the mount point is all there is to see
  const parts = below.split("/").filter((part) => part !== "");
  return Array.from({ length: parts.length + 1 }, (_, up) => parts.slice(0, parts.length - up).join("/"));
}

function ratio(quota: string | undefined, period: string | undefined): number | undefined {
  const [of, by] = [positive(quota), positive(period)];
  return of === undefined || by === undefined ? undefined : of / by;
}

/** Undefined for "max", "-1", nothing, and 0, which no running process can have. */
function positive(word: string | undefined): number | undefined {
  return word !== undefined && /^\d+$/.test(word) && Number(word) > 0 ? Number(word) : undefined;
}

function least(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

/** What cannot be read says nothing: other systems, or a controller that is not switched on. The kernel answers at once. */
function text(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}
