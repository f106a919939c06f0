export { type LocalMesh, type LocalMeshOptions, startLocalMesh } from "./local-mesh.ts";
export { openLog } from "./log-sink.ts";
export { runProxy } from "./run-agent.ts";
export { type AgentContext, type AgentEnd, type RunningAgent, startAgent } from "./start-agent.ts";
