export type { ControlPlane, ControlPlaneOptions } from "./control-plane.ts";
export type { HealthReport, Rejection } from "./discovery-service.ts";
export type { Faults } from "./faults.ts";
export { startControlPlane } from "./start-control-plane.ts";
export type { Workload } from "./tokens.ts";
export { writeCredentials } from "./write-credentials.ts";
