export { type LocalMesh, type LocalMeshOptions, type MeshChoices, startLocalMesh } from "./local-mesh.ts";
export { type RunOptions, runApplication } from "./run-application.ts";
