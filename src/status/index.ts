export {
  type AdminGet,
  dnsReadiness,
  type EnvoyReadinessOptions,
  envoyReadiness,
  grpcBootstrapReadiness,
} from "./checks.ts";
export {
  createReadinessBoard,
  type Readiness,
  type ReadinessBoard,
  type ReadinessBoardOptions,
  type ReadinessCheck,
} from "./readiness-board.ts";
export { type EnvoyStatsSource, type StatusOptions, type StatusServer, serveStatus } from "./serve-status.ts";
