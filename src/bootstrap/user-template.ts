import { resolve } from "node:path";
import { AgentError, describeError, goJson, readTextFile } from "../base/index.ts";
import { goRecord } from "../go-template/index.ts";
import { PATHS } from "../istio/index.ts";
import type { JsonObject, JsonValue, RemoteService } from "../istio/mesh/index.ts";
import type { NodeDescription } from "../node/index.ts";
import { socketAddress } from "./address.ts";
import { clientTransportSocket } from "./client-tls.ts";
import { keepalive, metricsServiceOf } from "./clusters.ts";
import { goMetadata, goProxyConfig } from "./go-values.ts";
import type { BootstrapOptions } from "./options.ts";
import { gcpProject, lightstepTokenFile, platformMetadata, runtime } from "./render-bootstrap.ts";
import { instanceIps, type Sections, sectionsOf } from "./sections.ts";
import { extraTags, inclusionLists, statsValues } from "./stats.ts";

/** What only templates can ask for. */
export interface TemplateWords {
  /** Relative paths start here. */
  readonly cwd: string;
  /** `XDS_ROOT_CA`. */
  readonly xdsRoot: string;
  /** What `env` and `expandenv` read. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

export interface RenderedTemplate {
  readonly text: string;
  readonly extension: "json" | "yaml";
  readonly warnings: readonly string[];
}

/**
 * Renders the user's own bootstrap template, written in Go's template language with the variables of Istio's stock
 * template. The engine is loaded only here. Rejects with CONFIG_INVALID naming the file.
 * Source: istio/istio pkg/bootstrap/instance.go, pkg/bootstrap/option/instances.go.
 */
export async function renderUserTemplate(
  path: string,
  words: TemplateWords,
  options: BootstrapOptions,
  node: NodeDescription,
): Promise<RenderedTemplate> {
  const warnings: string[] = [];
  const values = templateValues(
    sectionsOf(options, node, (message) => warnings.push(message)),
    words,
  );
  const refuse = (error: unknown): AgentError =>
    new AgentError("CONFIG_INVALID", `Cannot render the bootstrap template "${path}": ${describeError(error)}`, {
      cause: error,
    });
  try {
    const source = await readTextFile(resolve(words.cwd, path));
    const { createTemplate, encodeJson, goFunctions } = await import("../go-template/engine/index.ts");
    const functions = goFunctions({ toJSON: ["any", (value: unknown) => (value === null ? "{}" : encodeJson(value))] });
    const text = createTemplate(source, { environment: words.environment, functions })(values);
    return { text, extension: /\.yaml(\.tmpl)?$/.test(path) ? "yaml" : "json", warnings };
  } catch (error) {
    throw refuse(error);
  }
}

/** The root object of a template. A variable whose condition is not met is not there. */
function templateValues(sections: Sections, { xdsRoot }: TemplateWords): Record<string, unknown> {
  const { node, proxy, family, annotations } = sections;
  const stats = { proxy, annotations, addresses: instanceIps(node), ...flags(sections), warn: sections.warn };
  const { prefixes, suffixes, regexps } = inclusionLists(stats);
  const intervals = statsValues(stats);
  const sans = (node.typed.PILOT_SAN ?? []) as readonly string[];
  return present({
    nodeID: node.id,
    nodeType: node.id.split("~")[0],
    cluster: node.cluster,
    region: node.locality.region || undefined,
    zone: node.locality.zone || undefined,
    sub_zone: node.locality.subZone || undefined,
    meta_json_str: goJson(node.metadata),
    metadata: goMetadata(node, proxy, xdsRoot),
    config: goProxyConfig(proxy),
    runtime_flags: goJson(runtime(sections)),
    pilot_SAN: goJson(sans.map((exact) => ({ exact }))),
    discovery_address: proxy.discoveryAddress,
    discovery_host: proxy.discoveryAddress.split(":")[0],
    pilot_grpc_address: addressText(sections, "pilot_grpc_address", proxy.discoveryAddress),
    xds_root_cert: xdsRoot,
    xds_type: sections.xdsType,
    metadata_discovery: sections.isMetadataDiscovery,
    log_json: sections.isLogJson,
    localhost: family.localhost,
    wildcard: family.wildcard,
    dns_lookup_family: family.dnsLookup,
    additional_localhost: family.additional?.localhost,
    additional_wildcard: family.additional?.wildcard,
    dual_stack: family.additional === undefined ? undefined : true,
    outlier_log_path: sections.outlierLogPath || undefined,
    custom_file_path: node.raw.has("file-credential") ? PATHS.filesSocket : undefined,
    workload_identity_socket_file: node.typed.WORKLOAD_IDENTITY_SOCKET_FILE,
    metrics_localhost_access_only: proxy.proxyMetadata.METRICS_LOCALHOST_ACCESS_ONLY === "true",
    secure_metrics_port: node.typed.ENVOY_SECURE_METRICS_PORT || undefined,
    secure_merged_metrics_port: node.typed.ENVOY_SECURE_MERGED_METRICS_PORT || undefined,
    envoy_status_port: node.typed.ENVOY_STATUS_PORT,
    envoy_prometheus_port: node.typed.ENVOY_PROMETHEUS_PORT,
    envoy_status_port_enable_proxy_protocol: sections.isStatusPortProxyProtocol || undefined,
    enable_self_discovery: sections.isSelfDiscovery || undefined,
    global_downstream_max_connections: sections.maxDownstreamConnections,
    envoy_metrics_stats_compression: proxy.statsCompression !== false,
    extraStatTags: nonEmpty(extraTags(stats)),
    inclusionPrefix: nonEmpty(prefixes),
    inclusionSuffix: nonEmpty(suffixes),
    inclusionRegexps: nonEmpty(regexps),
    histogram_buckets: (intervals.histogram_buckets ?? []).map(goBucket),
    stats_flush_interval: intervals.stats_flush_interval,
    stats_eviction_interval: intervals.stats_eviction_interval,
    load_stats_config_json_str: textOf(node.raw.get("LOAD_STATS_CONFIG_JSON")?.value),
    ...tracing(sections),
    ...services(sections),
    ...gcp(sections),
  });
}

function flags({ node, isMetadataDiscovery }: Sections) {
  return {
    isMetadataDiscovery,
    isExitOnZeroConnections: node.typed.EXIT_ON_ZERO_ACTIVE_CONNECTIONS === true,
  };
}

function tracing(sections: Sections): Record<string, unknown> {
  const { tracing: settings, configPath } = sections.proxy;
  const { zipkin, lightstep, datadog, tlsSettings } = settings ?? {};
  return {
    zipkin: zipkin && addressText(sections, "zipkin", zipkin.address),
    lightstep: lightstep && addressText(sections, "lightstep", lightstep.address),
    lightstepToken: lightstep && lightstepTokenFile(configPath),
    datadog: datadog && addressText(sections, "datadog", datadog.address),
    ...stackdriverValues(sections),
    tracing_tls: tlsSettings && tlsText(sections, tlsSettings, "tracer", lightstep !== undefined),
  };
}

const STACKDRIVER_LIMIT = 200;

/** Source: istio/istio pkg/bootstrap/config.go (getProxyConfigOptions). */
function stackdriverValues({ proxy, node }: Sections): Record<string, unknown> {
  const settings = proxy.tracing?.stackdriver;
  if (settings === undefined) return {};
  return {
    stackdriver: true,
    stackdriverProjectID: gcpProject(node),
    stackdriverDebug: settings.debug,
    stackdriverMaxAnnotations: Number(settings.maxNumberOfAnnotations ?? STACKDRIVER_LIMIT),
    stackdriverMaxAttributes: Number(settings.maxNumberOfAttributes ?? STACKDRIVER_LIMIT),
    stackdriverMaxEvents: Number(settings.maxNumberOfMessageEvents ?? STACKDRIVER_LIMIT),
  };
}

function gcp({ node }: Sections): Record<string, unknown> {
  const { gcp_project: project, gcp_project_number: number } = platformMetadata(node);
  const stsPort = Number(node.typed.STS_PORT ?? 0);
  const hasSts = Number.isInteger(stsPort) && stsPort > 0;
  return { ...(hasSts ? { sts: true, sts_port: stsPort, gcp_project_id: project } : {}), gcp_project_number: number };
}

function goBucket(bucket: JsonObject): object {
  const { match, buckets } = bucket as unknown as { match: { prefix: string }; buckets: readonly number[] };
  const type = { name: "option.HistogramBucket", json: bucket };
  const goMatch = goRecord({ Prefix: match.prefix }, { name: "option.HistogramMatch", json: match });
  return goRecord({ Match: goMatch, Buckets: buckets }, type);
}

function services(sections: Sections): Record<string, unknown> {
  const metrics = metricsServiceOf(sections);
  const accessLog = sections.proxy.envoyAccessLogService;
  const statsd = sections.proxy.statsdUdpAddress;
  return {
    statsd: addressText(sections, "statsd", statsd),
    envoy_metrics_service_address: addressText(sections, "envoy_metrics_service_address", metrics?.address ?? ""),
    envoy_metrics_service_tls:
      metrics?.tlsSettings && tlsText(sections, metrics.tlsSettings, "envoy_metrics_service", true),
    envoy_metrics_service_tcp_keepalive: keepaliveText(metrics?.tcpKeepalive),
    envoy_accesslog_service_tcp_keepalive: keepaliveText(accessLog?.tcpKeepalive),
    envoy_accesslog_service_address: addressText(sections, "envoy_accesslog_service_address", accessLog?.address ?? ""),
    envoy_accesslog_service_tls:
      accessLog?.tlsSettings && tlsText(sections, accessLog.tlsSettings, "envoy_accesslog_service", true),
  };
}

function tlsText(
  { tlsPaths: paths }: Sections,
  settings: Parameters<typeof clientTransportSocket>[0]["settings"],
  defaultSni: string,
  hasAlpn: boolean,
): string {
  const socket = clientTransportSocket({ settings, paths, defaultSni, hasAlpn });
  return socket === undefined ? "" : goJson(socket);
}

function keepaliveText(settings: RemoteService["tcpKeepalive"]): string | undefined {
  const options = keepalive(settings);
  return options === undefined ? undefined : goJson(options);
}

/** Exactly `{"address": "<host>", "port_value": <port>}`; undefined for no address. */
function addressText(sections: Sections, name: string, address: string): string | undefined {
  if (address === "") return undefined;
  const { address: host, port_value: port } = socketAddress(name, address, sections.hostIp);
  return `{"address": "${String(host)}", "port_value": ${String(port)}}`;
}

function nonEmpty(list: readonly string[]): readonly string[] | undefined {
  return list.length === 0 ? undefined : list;
}

function textOf(value: JsonValue | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** The numbers among them are integers. */
function present(values: Record<string, unknown>): Record<string, unknown> {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries.map(([name, value]) => [name, typeof value === "number" ? BigInt(value) : value]));
}
