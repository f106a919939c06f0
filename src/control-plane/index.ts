export type { Rejection } from "./discovery-service.ts";
export { type ControlPlane, type ControlPlaneOptions, startControlPlane } from "./start-control-plane.ts";
export type { Workload } from "./tokens.ts";
export { writeCredentials } from "./write-credentials.ts";
