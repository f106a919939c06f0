import type { AgentConfig } from "../../config/index.ts";
import { type CgroupLimits, wholeCpus } from "../../host/index.ts";

/**
 * Envoy's worker threads by the CPU quota, when the user gives no number and the quota is less than the machine has.
 * Undefined leaves it to Envoy. What the control plane is told about this proxy does not change by it.
 */
export function threadsByQuota({ proxy }: AgentConfig, { cpus }: CgroupLimits, cpuCount: number): number | undefined {
  if (proxy.concurrency !== undefined || cpus === undefined) return undefined;
  const threads = wholeCpus(cpus);
  return threads < cpuCount ? threads : undefined;
}

/** The most heap that Envoy may use by PILOTBOAT_HEAP_LIMIT, in bytes; a share of nothing is a warning. */
export function heapLimit(
  { settings }: Pick<AgentConfig, "settings">,
  limits: CgroupLimits,
): { readonly bytes: number | undefined; readonly warnings: readonly string[] } {
  const { heapLimit: wanted } = settings;
  if (wanted.kind === "off") return { bytes: undefined, warnings: [] };
  if (wanted.kind === "bytes") return { bytes: wanted.bytes, warnings: [] };
  if (limits.memoryBytes !== undefined) {
    return { bytes: Math.floor((limits.memoryBytes * wanted.percent) / 100), warnings: [] };
  }
  const warning = `PILOTBOAT_HEAP_LIMIT is ${wanted.percent}%, but no cgroup limits the memory: Envoy's heap has no limit`;
  return { bytes: undefined, warnings: [warning] };
}
