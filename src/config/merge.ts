import { fillZeros, PROXY_CONFIG, type ProxyConfig } from "../istio/mesh/index.ts";

type Present = Readonly<Record<string, unknown>>;

/** Members of `proxyHeaders` that an overlay which leaves them out takes over from what was there. */
const INHERITED_HEADERS = ["forwardedClientCert", "requestId", "attemptCount", "server", "envoyDebugHeaders"] as const;

/**
 * Puts an overlay over a configuration: each field that is present replaces the whole previous value, except that
 * `proxyMetadata` merges by key and `proxyHeaders` inherits five members. Setting one member of the cluster-name oneof
 * clears the other. Source: istio/istio pkg/config/mesh/mesh.go (MergeProxyConfig).
 */
export function mergeProxyConfig(base: ProxyConfig, overlay: Present): ProxyConfig {
  const merged: Record<string, unknown> = { ...base, ...overlay };
  if (overlay.proxyMetadata !== undefined) {
    merged.proxyMetadata = Object.freeze({ ...base.proxyMetadata, ...(overlay.proxyMetadata as Present) });
  }
  if (overlay.proxyHeaders !== undefined && base.proxyHeaders !== undefined) {
    merged.proxyHeaders = inheritHeaders(base.proxyHeaders, overlay.proxyHeaders as Present);
  }
  if (overlay.tracingServiceName !== undefined) delete merged.serviceCluster;
  else if (overlay.serviceCluster !== undefined) delete merged.tracingServiceName;
  return fillZeros(PROXY_CONFIG, merged);
}

function inheritHeaders(base: Present, overlay: Present): Present {
  const merged: Record<string, unknown> = { ...overlay };
  for (const name of INHERITED_HEADERS) {
    const isUnset = merged[name] === undefined || merged[name] === "UNDEFINED";
    if (isUnset) merged[name] = base[name];
  }
  return Object.freeze(merged);
}
