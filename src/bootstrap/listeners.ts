import compressors from "../../bootstrap-templates/compressors.json" with { type: "json" };
import metrics from "../../bootstrap-templates/listeners/metrics.json" with { type: "json" };
import secureMerged from "../../bootstrap-templates/listeners/secure-merged-metrics.json" with { type: "json" };
import secureMetrics from "../../bootstrap-templates/listeners/secure-metrics.json" with { type: "json" };
import status from "../../bootstrap-templates/listeners/status.json" with { type: "json" };
import proxyProtocol from "../../bootstrap-templates/proxy-protocol-filter.json" with { type: "json" };
import type { JsonObject, JsonValue } from "../istio/mesh/index.ts";
import { fill } from "./fill.ts";
import type { Sections } from "./sections.ts";

/** Static listeners, in the reference's order. */
export function listeners(sections: Sections): JsonObject[] {
  const { proxy, family, node } = sections;
  const isLocalOnly = proxy.proxyMetadata.METRICS_LOCALHOST_ACCESS_ONLY === "true";
  const port = (name: string): number => Number(node.typed[name] ?? 0);
  const list = [
    fill(metrics, {
      address: isLocalOnly ? family.localhost : family.wildcard,
      port: port("ENVOY_PROMETHEUS_PORT"),
      additional_addresses: additional(
        isLocalOnly ? family.additional?.localhost : family.additional?.wildcard,
        port("ENVOY_PROMETHEUS_PORT"),
      ),
      compressors: proxy.statsCompression === false ? undefined : (compressors as unknown as JsonValue),
    }),
  ];
  for (const [template, name] of [
    [secureMetrics, "ENVOY_SECURE_METRICS_PORT"],
    [secureMerged, "ENVOY_SECURE_MERGED_METRICS_PORT"],
  ] as const) {
    if (port(name) !== 0) list.push(fill(template, { address: family.wildcard, port: port(name) }));
  }
  const statusPort = port("ENVOY_STATUS_PORT");
  list.push(
    fill(status, {
      address: family.wildcard,
      port: statusPort,
      additional_addresses: additional(family.additional?.wildcard, statusPort),
      listener_filters: sections.isStatusPortProxyProtocol ? [proxyProtocol as unknown as JsonValue] : undefined,
    }),
  );
  return list;
}

function additional(address: string | undefined, port: number): JsonValue | undefined {
  if (address === undefined) return undefined;
  return [{ address: { socket_address: { protocol: "TCP", address, port_value: port } } }];
}
