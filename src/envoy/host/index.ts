export { type Cgroup, type CgroupLimits, readCgroup, wholeCpus } from "./cgroup.ts";
export { findSetpriv } from "./parent-death.ts";
export { type PortHolder, portHolders, portsOf } from "./port-holders.ts";
export { startOf } from "./process-identity.ts";
export { type EnvoyMark, endStaleEnvoy, isSameEnvoy, markEnvoy, RUN_VARIABLE } from "./stale.ts";
