import { PATHS } from "../paths.ts";
import { decodePresent } from "./decode.ts";
import { encodeMessage, type JsonObject } from "./encode.ts";
import { PROXY_CONFIG, type ProxyConfig } from "./proxy-config.ts";
import { fillZeros } from "./schema.ts";

export { type DecodeSink, decodePresent, type Path } from "./decode.ts";
export { encodeMessage, encodeValue, type JsonObject, type JsonValue } from "./encode.ts";
export { MESH_CONFIG, type MeshConfig } from "./mesh-config.ts";
export { type ClientTlsSettings, PROXY_CONFIG, type ProxyConfig, type RemoteService } from "./proxy-config.ts";
export { probeTrouble, type ReadinessProbe } from "./readiness-probe.ts";
export { type Field, type FieldType, fillZeros, type MessageSchema, protoName, zeroOf } from "./schema.ts";

/** Istio's built-in values. Source: istio/istio pkg/config/mesh/mesh.go (DefaultProxyConfig). */
export const DEFAULT_PROXY_CONFIG: ProxyConfig = fillZeros(PROXY_CONFIG, {
  configPath: PATHS.config,
  binaryPath: "/usr/local/bin/envoy",
  serviceCluster: "istio-proxy",
  drainDuration: 45_000_000_000n,
  terminationDrainDuration: 5_000_000_000n,
  proxyAdminPort: 15_000,
  controlPlaneAuthPolicy: "MUTUAL_TLS",
  discoveryAddress: "istiod.istio-system.svc:15012",
  statNameLength: 189,
  statusPort: 15_020,
});

/** Canonical protobuf JSON of a ProxyConfig, as node metadata carries it. */
export function proxyConfigToJson(config: ProxyConfig): JsonObject {
  return encodeMessage(PROXY_CONFIG, config);
}

/** A ProxyConfig from JSON of this program's own making; problems are not expected and are passed over. */
export function proxyConfigFromJson(tree: Readonly<Record<string, unknown>>): ProxyConfig {
  const ignore = { wrongType: () => undefined, unknownField: () => undefined };
  return fillZeros(PROXY_CONFIG, decodePresent(PROXY_CONFIG, tree, [], ignore));
}
