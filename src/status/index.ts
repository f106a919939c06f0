export { type AdminGet, adminAccess, type EnvoyReadinessOptions, envoyReadiness } from "./envoy-readiness.ts";
export type { StatusOptions } from "./options.ts";
export { dnsReadiness, grpcBootstrapReadiness } from "./other-readiness.ts";
export {
  createReadinessBoard,
  type Readiness,
  type ReadinessBoard,
  type ReadinessBoardOptions,
  type ReadinessCheck,
} from "./readiness-board.ts";
export type { EnvoyStatsSource } from "./scrape.ts";
export { type StatusServer, serveStatus } from "./serve-status.ts";
