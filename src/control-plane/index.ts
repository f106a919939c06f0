export type { HealthReport, Rejection } from "./client-notes.ts";
export type { ControlPlane, ControlPlaneNews, ControlPlaneOptions } from "./control-plane.ts";
export type { Faults } from "./faults.ts";
export type { ListenerPlace, ResourceCounts } from "./snapshot.ts";
export { startControlPlane } from "./start-control-plane.ts";
export { askForToken, findControlPlanes, openTokenDesk, type RunningControlPlane } from "./token-desk.ts";
export type { Workload } from "./tokens.ts";
export { writeCredentials } from "./write-credentials.ts";
