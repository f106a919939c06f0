export type { AgentContext } from "./agent-context.ts";
export type { AgentReport } from "./agent-report.ts";
export { withLog } from "./log-sink.ts";
export type { ReloadReport } from "./reload/index.ts";
export { closeWithin, runProxy } from "./run-agent.ts";
export type { AgentEnd, RunningAgent } from "./running-agent.ts";
export { startAgent } from "./start-agent.ts";
export { type Listeners, tellEnvoyEnd } from "./tell-envoy-end.ts";
