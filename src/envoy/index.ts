export { type AdminClient, createAdminClient } from "./admin-client.ts";
export { type ArgumentsOptions, envoyArguments, envoyEnvironment } from "./arguments.ts";
export { type Cgroup, type CgroupLimits, readCgroup, wholeCpus } from "./cgroup.ts";
export { describeEnd, exitCodeOf } from "./child.ts";
export { findSetpriv } from "./parent-death.ts";
export { startOf } from "./process-identity.ts";
export type { RestartPolicy } from "./restart-policy.ts";
export { type EnvoyMark, endStaleEnvoy, isSameEnvoy, markEnvoy } from "./stale.ts";
export type { DrainOptions } from "./stop-envoy.ts";
export {
  agentExitCode,
  type EnvoyEnd,
  type EnvoyState,
  endError,
  type SupervisedEnvoy,
  type SuperviseOptions,
  superviseEnvoy,
} from "./supervise.ts";
export { type EnvoyFeatures, featuresOf } from "./version-table.ts";
