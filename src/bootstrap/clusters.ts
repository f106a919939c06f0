import agent from "../../bootstrap-templates/clusters/agent.json" with { type: "json" };
import datadog from "../../bootstrap-templates/clusters/datadog.json" with { type: "json" };
import accessLogService from "../../bootstrap-templates/clusters/envoy-accesslog-service.json" with { type: "json" };
import metricsService from "../../bootstrap-templates/clusters/envoy-metrics-service.json" with { type: "json" };
import lightstep from "../../bootstrap-templates/clusters/lightstep.json" with { type: "json" };
import localCluster from "../../bootstrap-templates/clusters/local-cluster.json" with { type: "json" };
import prometheusStats from "../../bootstrap-templates/clusters/prometheus-stats.json" with { type: "json" };
import sdsFiles from "../../bootstrap-templates/clusters/sds-files-grpc.json" with { type: "json" };
import sds from "../../bootstrap-templates/clusters/sds-grpc.json" with { type: "json" };
import xds from "../../bootstrap-templates/clusters/xds-grpc.json" with { type: "json" };
import zipkin from "../../bootstrap-templates/clusters/zipkin.json" with { type: "json" };
import { PATHS } from "../istio/index.ts";
import type { JsonObject, JsonValue, RemoteService } from "../istio/mesh/index.ts";
import { socketAddress } from "./address.ts";
import { clientTransportSocket } from "./client-tls.ts";
import { fill } from "./fill.ts";
import type { Sections } from "./sections.ts";

/** Static clusters, in the reference's order. */
export function clusters(sections: Sections): JsonObject[] {
  const { proxy, family, node } = sections;
  const { localhost } = family;
  const list = [
    fill(prometheusStats, { localhost, port: proxy.proxyAdminPort }),
    fill(agent, { localhost, port: proxy.statusPort }),
    fill(sds, {
      path: `${PATHS.workloadSocketFolder}/${String(node.typed.WORKLOAD_IDENTITY_SOCKET_FILE ?? "socket")}`,
    }),
  ];
  if (node.raw.has("file-credential")) list.push(fill(sdsFiles, { path: PATHS.filesSocket }));
  list.push(fill(xds, { path: `${proxy.configPath}/XDS` }));
  const tracer = tracerCluster(sections);
  if (tracer !== undefined) list.push(tracer);
  const metrics = metricsServiceOf(sections);
  if (metrics !== undefined) list.push(serviceCluster(sections, metricsService, "envoy_metrics_service", metrics));
  const accessLog = proxy.envoyAccessLogService;
  if (accessLog !== undefined && accessLog.address !== "") {
    list.push(serviceCluster(sections, accessLogService, "envoy_accesslog_service", accessLog));
  }
  if (sections.isSelfDiscovery) list.push(fill(localCluster));
  return list;
}

/** The metrics service; the deprecated plain address stands for one without TLS. */
export function metricsServiceOf({ proxy }: Sections): RemoteService | undefined {
  const service = proxy.envoyMetricsService;
  if (service !== undefined && service.address !== "") return service;
  const address = proxy.envoyMetricsServiceAddress;
  return address === "" ? undefined : { address, tlsSettings: undefined, tcpKeepalive: undefined };
}

function tracerCluster(sections: Sections): JsonObject | undefined {
  const { tracing } = sections.proxy;
  const make = (template: unknown, name: string, address: string, hasAlpn: boolean): JsonObject =>
    fill(template, {
      address: socketAddress(name, address, sections.hostIp),
      dns_lookup_family: sections.family.dnsLookup,
      transport_socket: clientTransportSocket({
        settings: tracing?.tlsSettings,
        paths: sections.tlsPaths,
        defaultSni: "tracer",
        hasAlpn,
      }),
    });
  if (tracing?.zipkin?.address) return make(zipkin, "zipkin", tracing.zipkin.address, false);
  if (tracing?.lightstep?.address) return make(lightstep, "lightstep", tracing.lightstep.address, true);
  if (tracing?.datadog?.address) return make(datadog, "datadog", tracing.datadog.address, false);
  return undefined;
}

function serviceCluster(sections: Sections, template: unknown, name: string, service: RemoteService): JsonObject {
  return fill(template, {
    address: socketAddress(`${name}_address`, service.address, sections.hostIp),
    dns_lookup_family: sections.family.dnsLookup,
    transport_socket: clientTransportSocket({
      settings: service.tlsSettings,
      paths: sections.tlsPaths,
      defaultSni: name,
      hasAlpn: true,
    }),
    upstream_connection_options: keepalive(service.tcpKeepalive),
  });
}

/** Plain numbers: the wrapped form that Istio's template prints is no regular protobuf JSON. */
export function keepalive(settings: RemoteService["tcpKeepalive"]): JsonValue | undefined {
  if (settings === undefined) return undefined;
  const seconds = (duration: bigint | undefined): number => Number((duration ?? 0n) / 1_000_000_000n);
  const entries = [
    ["keepalive_probes", settings.probes],
    ["keepalive_time", seconds(settings.time)],
    ["keepalive_interval", seconds(settings.interval)],
  ] as const;
  return { tcp_keepalive: Object.fromEntries(entries.filter(([, value]) => value > 0)) };
}
