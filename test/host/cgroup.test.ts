import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readCgroup, wholeCpus } from "../../src/host/cgroup.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "pb-cgroup-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function put(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), `${content}\n`);
  }
}

const V2_MOUNT = "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate";

describe("version 2", () => {
  test("in a container the limits stand at the mount point", async () => {
    await put({
      "proc/self/cgroup": "0::/",
      "proc/self/mountinfo": `27 1 254:0 / / rw - ext4 /dev/vda rw\n${V2_MOUNT}`,
      "sys/fs/cgroup/cpu.max": "150000 100000",
      "sys/fs/cgroup/memory.max": "536870912",
    });
    expect((await readCgroup(root)).limits).toEqual({ cpus: 1.5, memoryBytes: 536_870_912 });
  });

  test("the tightest group on the way up holds", async () => {
    await put({
      "proc/self/cgroup": "0::/pod/container",
      "proc/self/mountinfo": V2_MOUNT,
      "sys/fs/cgroup/pod/cpu.max": "50000 100000",
      "sys/fs/cgroup/pod/memory.max": "max",
      "sys/fs/cgroup/pod/container/cpu.max": "200000 100000",
      "sys/fs/cgroup/pod/container/memory.max": "1073741824",
    });
    expect((await readCgroup(root)).limits).toEqual({ cpus: 0.5, memoryBytes: 1_073_741_824 });
  });

  test("a mount that shows only the container's group is the container's group", async () => {
    await put({
      "proc/self/cgroup": "0::/kubepods/pod1/abc",
      "proc/self/mountinfo": "31 23 0:28 /kubepods/pod1/abc /sys/fs/cgroup ro - cgroup2 cgroup2 rw",
      "sys/fs/cgroup/cpu.max": "100000 100000",
    });
    expect((await readCgroup(root)).limits).toEqual({ cpus: 1, memoryBytes: undefined });
  });

  test('"max" and no files at all limit nothing', async () => {
    await put({
      "proc/self/cgroup": "0::/../other",
      "proc/self/mountinfo": V2_MOUNT,
      "sys/fs/cgroup/cpu.max": "max 100000",
    });
    const { limits, oomKills } = await readCgroup(root);
    expect(limits).toEqual({ cpus: undefined, memoryBytes: undefined });
    expect(await oomKills()).toBeUndefined();
  });

  test("kills for want of memory are counted anew each time", async () => {
    await put({
      "proc/self/cgroup": "0::/",
      "proc/self/mountinfo": V2_MOUNT,
      "sys/fs/cgroup/memory.events": "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\noom_group_kill 0",
    });
    const group = await readCgroup(root);
    expect(await group.oomKills()).toBe(1);
    await put({ "sys/fs/cgroup/memory.events": "low 0\nhigh 0\nmax 9\noom 2\noom_kill 2\noom_group_kill 0" });
    expect(await group.oomKills()).toBe(2);
  });
});

describe("version 1", () => {
  const MOUNTS = [
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
    "33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
    "34 31 0:31 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids",
  ].join("\n");
  const OWN = "8:pids:/p\n4:memory:/m/inner\n1:cpu,cpuacct:/c\n0::/";

  test("each controller has a folder of its own", async () => {
    await put({
      "proc/self/cgroup": OWN,
      "proc/self/mountinfo": MOUNTS,
      "sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_quota_us": "250000",
      "sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_period_us": "100000",
      "sys/fs/cgroup/memory/m/inner/memory.limit_in_bytes": "268435456",
      "sys/fs/cgroup/memory/m/inner/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 7",
    });
    const { limits, oomKills } = await readCgroup(root);
    expect(limits).toEqual({ cpus: 2.5, memoryBytes: 268_435_456 });
    expect(await oomKills()).toBe(7);
  });

  test("-1 and the largest number of pages limit nothing", async () => {
    await put({
      "proc/self/cgroup": OWN,
      "proc/self/mountinfo": `${MOUNTS}\n35 31 0:33 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw`,
      "sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_quota_us": "-1",
      "sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_period_us": "100000",
      "sys/fs/cgroup/memory/m/inner/memory.limit_in_bytes": "9223372036854771712",
    });
    expect((await readCgroup(root)).limits).toEqual({ cpus: undefined, memoryBytes: undefined });
  });
});

test("a system without /proc has no limits", async () => {
  const { limits, oomKills } = await readCgroup(root);
  expect(limits).toEqual({ cpus: undefined, memoryBytes: undefined });
  expect(await oomKills()).toBeUndefined();
});

test.each([
  [0.1, 1],
  [1, 1],
  [1.5, 2],
  [4, 4],
])("a quota of %d CPUs is %d whole ones", (quota, cpus) => {
  expect(wholeCpus(quota)).toBe(cpus);
});
