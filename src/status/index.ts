export { describeReadiness, type ReadinessReport } from "./describe-readiness.ts";
export { adminAccess, type EnvoyPresence, envoyReadiness } from "./envoy-readiness.ts";
export { loggingRoute } from "./logging-route.ts";
export { grpcBootstrapReadiness } from "./other-readiness.ts";
export { metricsRoutes, profileRoute, readyRoute } from "./own-routes.ts";
export {
  type Cause,
  createReadinessBoard,
  type Readiness,
  type ReadinessBoard,
  type ReadinessCheck,
} from "./readiness-board.ts";
export type { Route } from "./route.ts";
export { drainRoute, jsonRoute, quitRoute, reloadRoute } from "./routes-for-parts.ts";
export { serveStatus } from "./serve-status.ts";
