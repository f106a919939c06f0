export { type EndContext, judgeEnvoyEnd, type RunOutcome } from "./judge-envoy-end.ts";
export { withLog } from "./log-sink.ts";
export { type AgentContext, type AgentReport, plannedPorts } from "./parts/index.ts";
export type { ReloadReport } from "./reload/index.ts";
export { closeWithin, describeTimeout, runProxy } from "./run-agent.ts";
export type { RunningAgent } from "./running-agent.ts";
export { startAgent } from "./start-agent.ts";
