export type { HealthReport, Rejection } from "./ads/client-notes.ts";
export type { ListenerPlace, ResourceCounts } from "./ads/snapshot.ts";
export type { Workload } from "./callers/tokens.ts";
export type { ControlPlane, ControlPlaneNews, ControlPlaneOptions } from "./control-plane.ts";
export type { Faults } from "./faults.ts";
export { startControlPlane } from "./start-control-plane.ts";
export { askForToken, findControlPlanes, openTokenDesk, type RunningControlPlane } from "./token-desk.ts";
export { writeCredentials } from "./write-credentials.ts";
