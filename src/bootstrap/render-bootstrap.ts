import { posix } from "node:path";
import base from "../../bootstrap-templates/base.json" with { type: "json" };
import logJson from "../../bootstrap-templates/log-format-json.json" with { type: "json" };
import logText from "../../bootstrap-templates/log-format-text.json" with { type: "json" };
import metadataDiscovery from "../../bootstrap-templates/metadata-discovery.json" with { type: "json" };
import heapActions from "../../bootstrap-templates/overload/heap-actions.json" with { type: "json" };
import heapMonitor from "../../bootstrap-templates/overload/heap-monitor.json" with { type: "json" };
import runtimeFlags from "../../bootstrap-templates/runtime-flags.json" with { type: "json" };
import metricsSink from "../../bootstrap-templates/sinks/metrics-service.json" with { type: "json" };
import statsdSink from "../../bootstrap-templates/sinks/statsd.json" with { type: "json" };
import datadogTracer from "../../bootstrap-templates/tracers/datadog.json" with { type: "json" };
import lightstepTracer from "../../bootstrap-templates/tracers/lightstep.json" with { type: "json" };
import zipkinTracer from "../../bootstrap-templates/tracers/zipkin.json" with { type: "json" };
import { AgentError } from "../base/index.ts";
import type { JsonObject, JsonValue } from "../istio/mesh/index.ts";
import type { NodeDescription } from "../node/index.ts";
import { socketAddress } from "./address.ts";
import { clusters, metricsServiceOf } from "./clusters.ts";
import { fill, type Values } from "./fill.ts";
import { listeners } from "./listeners.ts";
import type { BootstrapOptions } from "./options.ts";
import { instanceIps, type Sections, sectionsOf } from "./sections.ts";
import { statsValues } from "./stats.ts";

export interface RenderedBootstrap {
  readonly document: JsonObject;
  readonly warnings: readonly string[];
}

/** Where the Lightstep token goes, beside the bootstrap. */
export function lightstepTokenFile(configPath: string): string {
  return posix.join(configPath, "lightstep_access_token.txt");
}

/**
 * Envoy's bootstrap for a node. Same input, same bytes: the members stand in the order of `base.json`.
 * Throws CONFIG_INVALID for an address that cannot be split. Source: istio/istio
 * tools/packaging/common/envoy_bootstrap.json, pkg/bootstrap/config.go.
 */
export function renderBootstrap(options: BootstrapOptions, node: NodeDescription): RenderedBootstrap {
  const warnings: string[] = [];
  const sections = sectionsOf(options, node, (message) => warnings.push(message));
  const { discoveryAddress } = options.proxy;
  // stock templates print it nowhere, but the reference refuses what cannot be split, and so says where the mistake is
  if (discoveryAddress !== "") socketAddress("pilot_grpc_address", discoveryAddress, options.hostIp);
  const document = fill(base, {
    log_format: (options.isLogJson ? logJson : logText) as JsonObject,
    node_id: node.id,
    cluster: node.cluster,
    locality: localityJson(node),
    metadata: node.metadata,
    runtime_flags: runtime(sections),
    metadata_discovery: sections.isMetadataDiscovery ? (metadataDiscovery as unknown as JsonObject) : undefined,
    ...statsValues({
      proxy: options.proxy,
      annotations: sections.annotations,
      addresses: instanceIps(node),
      isMetadataDiscovery: sections.isMetadataDiscovery,
      isExitOnZeroConnections: node.typed.EXIT_ON_ZERO_ACTIVE_CONNECTIONS === true,
      warn: sections.warn,
    }),
    localhost: sections.family.localhost,
    admin_port: options.proxy.proxyAdminPort,
    xds_type: sections.xdsType,
    clusters: clusters(sections),
    listeners: listeners(sections),
    max_downstream_connections: sections.maxDownstreamConnections,
    ...heapLimit(options.heapLimitBytes),
    tracing: tracing(sections),
    stats_sinks: sinks(sections),
    cluster_manager: clusterManager(sections),
  });
  return { document, warnings };
}

/** Region, zone and sub-zone, those that are known. */
export function localityJson({ locality }: NodeDescription): JsonObject {
  const parts = { region: locality.region, zone: locality.zone, sub_zone: locality.subZone };
  return Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== ""));
}

/** The static runtime layer: the built-in flags, then the ProxyConfig's values, of which an empty one removes a flag. */
export function runtime(options: BootstrapOptions): JsonObject {
  const flags: Record<string, JsonValue> = { ...runtimeFlags };
  if (options.compliancePolicy === "fips-140-2") flags["envoy.reloadable_features.google_grpc_disable_tls_13"] = true;
  if (!options.stripFragmentUnsafeIfDisabled) {
    flags["envoy.reloadable_features.http_strip_fragment_from_path_unsafe_if_disabled"] = "false";
  }
  for (const [name, value] of Object.entries(options.proxy.runtimeValues)) {
    if (value === "") delete flags[name];
    else flags[name] = value === "true" ? true : value === "false" ? false : value;
  }
  return flags;
}

/** The overload manager's part for a heap of limited size; the limit on connections is there in any case. */
function heapLimit(bytes: number | undefined): Values {
  if (bytes === undefined) return {};
  return { heap_monitor: fill(heapMonitor, { max_heap_size_bytes: bytes }), heap_actions: heapActions as JsonValue };
}

function tracing({ proxy, node }: Sections): JsonObject | undefined {
  const { tracing: settings } = proxy;
  if (settings?.zipkin?.address) return { http: fill(zipkinTracer) };
  if (settings?.lightstep?.address) {
    return { http: fill(lightstepTracer, { token_file: lightstepTokenFile(proxy.configPath) }) };
  }
  if (settings?.datadog?.address) return { http: fill(datadogTracer, { service_name: node.cluster }) };
  if (settings?.stackdriver !== undefined) gcpProject(node); // without one it is refused, with one there is nothing to say
  return undefined;
}

/** What the Stackdriver tracer needs. Throws CONFIG_INVALID when it is not known. */
export function gcpProject(node: NodeDescription): string {
  const { gcp_project: project } = platformMetadata(node);
  if (project !== undefined) return project;
  throw new AgentError("CONFIG_INVALID", "unable to process Stackdriver tracer: missing GCP Project");
}

export function platformMetadata(node: NodeDescription): Readonly<Record<string, string>> {
  return (node.typed.PLATFORM_METADATA ?? {}) as Readonly<Record<string, string>>;
}

function sinks(sections: Sections): JsonValue | undefined {
  const list: JsonObject[] = [];
  if (metricsServiceOf(sections) !== undefined) list.push(fill(metricsSink));
  const { statsdUdpAddress } = sections.proxy;
  if (statsdUdpAddress !== "") {
    list.push(fill(statsdSink, { address: socketAddress("statsd", statsdUdpAddress, sections.hostIp) }));
  }
  return list.length === 0 ? undefined : list;
}

function clusterManager(sections: Sections): JsonObject | undefined {
  const lrs = sections.node.raw.get("LOAD_STATS_CONFIG_JSON")?.value;
  const members: Record<string, JsonValue> = {};
  if (sections.isSelfDiscovery) members.local_cluster_name = "local_cluster";
  if (sections.outlierLogPath !== "") members.outlier_detection = { event_log_path: sections.outlierLogPath };
  if (typeof lrs === "string" && lrs !== "") members.load_stats_config = parseLoadStats(lrs);
  return Object.keys(members).length === 0 ? undefined : { ...members, enable_deferred_cluster_creation: true };
}

function parseLoadStats(text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue;
  } catch (error) {
    throw new AgentError("CONFIG_INVALID", `Cannot use ISTIO_META_LOAD_STATS_CONFIG_JSON: found ${text}, wanted JSON`, {
      cause: error,
    });
  }
}
