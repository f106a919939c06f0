export type { ListenerPlace, ResourceCounts } from "./ads/snapshot.ts";
export type { ControlPlane, ControlPlaneNews, ControlPlaneOptions } from "./control-plane.ts";
export { startControlPlane } from "./start-control-plane.ts";
export { askForToken, findControlPlanes, openTokenDesk, type RunningControlPlane } from "./token-desk.ts";
export { writeCredentials } from "./write-credentials.ts";
