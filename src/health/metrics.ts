import { counter, gauge } from "../base/index.ts";

export const PROBES = counter(
  "workload_health_probes_total",
  "Questions to the workload by result: healthy, unhealthy, or unknown where nobody could be asked.",
);
export const HEALTHY = gauge(
  "workload_healthy",
  "1 while the workload is reported healthy, 0 while unhealthy; absent before the first report.",
);
