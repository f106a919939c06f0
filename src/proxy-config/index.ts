export { type ClusterFilter, showClusters } from "./clusters.ts";
export { type Dump, parseDump, type Shown } from "./dump.ts";
export { type EndpointFilter, showEndpoints } from "./endpoints.ts";
export { type ListenerFilter, showListeners } from "./listeners.ts";
export { protoJson, withoutPrivate } from "./proto-json.ts";
export { type RouteFilter, showRoutes } from "./routes.ts";
export { showSecrets } from "./secrets.ts";
export { tableText } from "./table.ts";
