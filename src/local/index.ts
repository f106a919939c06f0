export { type LocalMesh, type LocalMeshOptions, type MeshChoices, startLocalMesh } from "./local-mesh.ts";
export { type LocalRunOptions, type RunOptions, runApplication } from "./run-application.ts";
