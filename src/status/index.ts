export { type AdminGet, adminAccess, type EnvoyReadinessOptions, envoyReadiness } from "./envoy-readiness.ts";
export { dnsReadiness, grpcBootstrapReadiness } from "./other-readiness.ts";
export { metricsRoutes, profileRoute, readyRoute } from "./own-routes.ts";
export { createReadinessBoard, type Readiness, type ReadinessBoard, type ReadinessCheck } from "./readiness-board.ts";
export type { Call, Outcome, Route } from "./route.ts";
export { drainRoute, jsonRoute, quitRoute, type ReloadCall, reloadRoute } from "./routes-for-parts.ts";
export type { EnvoyStatsSource } from "./scrape.ts";
export { type StatusServer, serveStatus } from "./serve-status.ts";
