export type { AgentContext } from "./agent-context.ts";
export type { AgentReport } from "./agent-report.ts";
export { type LocalMesh, type LocalMeshOptions, startLocalMesh } from "./local-mesh.ts";
export { openLog } from "./log-sink.ts";
export { runProxy } from "./run-agent.ts";
export { type RunFile, runFilePath } from "./run-file.ts";
export { type AgentEnd, type RunningAgent, startAgent } from "./start-agent.ts";
