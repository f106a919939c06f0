export { type HealthCheck, startHealthCheck, type WorkloadHealth } from "./health-check.ts";
export { readProbe } from "./workload-probe.ts";
