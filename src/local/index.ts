export type { ListenerAddress } from "./listener-ports.ts";
export { type LocalMesh, startLocalMesh } from "./local-mesh.ts";
export { type LocalRunOptions, type RunOptions, runApplication } from "./run-application.ts";
export { runInNamespace } from "./run-in-namespace.ts";
