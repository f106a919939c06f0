export { describeEnd, exitCodeOf, type SpawnOptions } from "./child.ts";
export { CONNECTIONS_PATH, countConnections } from "./connections.ts";
export type { DrainOptions } from "./drain.ts";
export { LONGEST_SOCKET_SUFFIX, removeSharedMemory } from "./hot-restart.ts";
export { couldNotStart, type RestartPolicy, type RunRecord } from "./restart-policy.ts";
export { agentExitCode, type EnvoyEnd, endError } from "./run-report.ts";
export type { State as EnvoyState } from "./states.ts";
export { superviseEnvoy } from "./supervise.ts";
export type { EnvoyHistory, EnvoyNews, SupervisedEnvoy, Traces } from "./supervised-envoy.ts";
