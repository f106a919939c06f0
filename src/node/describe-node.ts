import { PATHS } from "../istio/index.ts";
import { type JsonObject, type ProxyConfig, proxyConfigToJson } from "../istio/mesh/index.ts";
import {
  type MetadataValue,
  readRawMetadata,
  readTyped,
  type TypedMetadata,
  writeTyped,
} from "../istio/metadata/index.ts";
import { addressFamily } from "./family.ts";
import { excludedInterfaces, ipModeOf, proxyAddresses } from "./ip.ts";
import { localityOf } from "./locality.ts";
import type { NodeDescription, NodeFacts, NodeOptions } from "./node-types.ts";
import { serviceClusterOf } from "./service-cluster.ts";

/**
 * Builds the node from words and facts. Throws CONFIG_INVALID when a typed key has a value of another type.
 * Source: istio/istio pkg/bootstrap/config.go (GetNodeMetaData), pkg/model/proxy.go.
 */
export function describeNode(options: NodeOptions, facts: NodeFacts): NodeDescription {
  const warnings: string[] = [];
  const { metadataEnv, dnsProxyAddress, proxy } = options;
  const raw = readRawMetadata({ metadataEnv, dnsProxyAddress, proxyMetadata: proxy.proxyMetadata }, warnings);
  const typed = readTyped(raw);
  const origins = new Map<string, string>([...raw].map(([key, { from }]) => [key, from]));
  const set = (key: string, value: MetadataValue | undefined, from: string): void => {
    if (value === undefined) return;
    typed[key] = value;
    origins.set(key, from);
  };
  const excluded = excludedInterfaces(facts.podAnnotations);
  const addresses = proxyAddresses(options.instanceIp, facts.interfaceAddresses, excluded);
  setGiven(options, addresses, typed, set);
  setIdentity(options, set);
  setLabels(options, facts, typed, set, warnings);
  const locality = localityOf(typed, facts.platform.locality, set);
  const pilotSan = pilotSanOf(options.proxy);
  if (pilotSan !== undefined) set("PILOT_SAN", [pilotSan], "discoveryAddress");
  if (options.outlierLogPath !== "") set("OUTLIER_LOG_PATH", options.outlierLogPath, "--outlierLogPath");
  const extra = new Map(raw);
  if (facts.hasCredentialSocket) extra.set("credential", { value: "true", from: "credential socket" });
  if (facts.hasExternalSds) extra.set("file-credential", { value: "true", from: "external SDS socket" });
  if (typed.METADATA_DISCOVERY === undefined) {
    set("METADATA_DISCOVERY", typed.ENABLE_HBONE === true, origins.get("ENABLE_HBONE") ?? "default");
  }
  const typedJson = writeTyped(typed);
  const namespace = String(typed.NAMESPACE ?? "");
  return {
    id: nodeId(options, addresses[0] ?? ""),
    cluster: serviceClusterOf({
      serviceCluster: options.proxy.serviceCluster,
      tracingServiceName: options.proxy.tracingServiceName,
      labels: (typed.LABELS ?? {}) as Record<string, string>,
      workloadName: String(typed.WORKLOAD_NAME ?? ""),
      namespace,
    }),
    locality,
    addresses,
    ipMode: ipModeOf(addresses),
    family: addressFamily(addresses, options),
    typed,
    raw: extra,
    metadata: sorted({ ...Object.fromEntries([...extra].map(([key, { value }]) => [key, value])), ...typedJson }),
    typedMetadata: sorted(typedJson),
    origins,
    warnings,
  };
}

type Set = (key: string, value: MetadataValue | undefined, from: string) => void;

function nodeId(options: NodeOptions, address: string): string {
  const namespace = options.podNamespace ?? "";
  const domain = options.domain === "" ? `${namespace}.svc.cluster.local` : options.domain;
  return `${options.role}~${address}~${options.podName ?? ""}.${namespace}~${domain}`;
}

/** Fields that the agent's own settings decide, whatever the variables say. */
function setGiven(options: NodeOptions, addresses: readonly string[], typed: TypedMetadata, set: Set): void {
  const { istioVersion, istioVersionOrigin = "Istio that pilotboat behaves like" } = options;
  if (!typed.ISTIO_VERSION) set("ISTIO_VERSION", istioVersion, istioVersionOrigin);
  set("INSTANCE_IPS", [...new Set(addresses)], "INSTANCE_IP and interfaces");
  if (options.stsPort !== 0) set("STS_PORT", String(options.stsPort), "--stsPort");
  set("ENVOY_STATUS_PORT", options.ports.status, "ENVOY_STATUS_PORT");
  set("ENVOY_PROMETHEUS_PORT", options.ports.prometheus, "ENVOY_PROMETHEUS_PORT");
  set("ENVOY_SECURE_METRICS_PORT", options.ports.secureMetrics, "ENVOY_SECURE_METRICS_PORT");
  set("ENVOY_SECURE_MERGED_METRICS_PORT", options.ports.secureMergedMetrics, "ENVOY_SECURE_MERGED_METRICS_PORT");
  set("EXIT_ON_ZERO_ACTIVE_CONNECTIONS", options.isExitOnZeroConnections, "EXIT_ON_ZERO_ACTIVE_CONNECTIONS");
  delete (typed as Record<string, MetadataValue>).METADATA_DISCOVERY;
  set("METADATA_DISCOVERY", options.peerMetadataDiscovery, "PEER_METADATA_DISCOVERY");
  set("ENVOY_SKIP_DEPRECATED_LOGS", options.skipDeprecatedLogs, "ENVOY_SKIP_DEPRECATED_LOGS");
  set("WORKLOAD_IDENTITY_SOCKET_FILE", options.workloadSocketFile, "WORKLOAD_IDENTITY_SOCKET_FILE");
  set("PROXY_CONFIG", proxyConfigToJson(options.proxy), "effective ProxyConfig");
}

function setIdentity(options: NodeOptions, set: Set): void {
  set("NAME", options.podName, "POD_NAME");
  set("NAMESPACE", options.podNamespace, "POD_NAMESPACE");
  set("SERVICE_ACCOUNT", options.serviceAccount, "SERVICE_ACCOUNT");
}

function setLabels(options: NodeOptions, facts: NodeFacts, typed: TypedMetadata, set: Set, warnings: string[]): void {
  const labels = labelsVariable(options.metadataEnv, warnings);
  if (Object.keys(labels).length > 0) {
    set("LABELS", labels, "ISTIO_METAJSON_LABELS");
    set("STATIC_LABELS", labels, "ISTIO_METAJSON_LABELS");
  }
  if (Object.keys(facts.platform.metadata).length > 0) set("PLATFORM_METADATA", facts.platform.metadata, "platform");
  if (!facts.platform.isKubernetes && Object.keys(facts.platform.labels).length > 0) {
    const merged = { ...(typed.STATIC_LABELS as Record<string, string> | undefined), ...facts.platform.labels };
    set("STATIC_LABELS", merged, "platform");
    if (typed.LABELS !== undefined) set("LABELS", merged, "platform");
  }
  if (facts.podLabels !== undefined) {
    const fromFile = Object.fromEntries([...facts.podLabels].filter(([key]) => key !== "pod-template-hash"));
    const fixed = typed.STATIC_LABELS as Record<string, string> | undefined;
    set("LABELS", { ...fixed, ...fromFile }, PATHS.podLabels);
  }
  if (facts.podAnnotations !== undefined) {
    const known = typed.ANNOTATIONS as Record<string, string> | undefined;
    set("ANNOTATIONS", { ...known, ...Object.fromEntries(facts.podAnnotations) }, PATHS.podAnnotations);
  }
}

/** Labels that are no text count as empty. */
function labelsVariable(env: NodeOptions["metadataEnv"], warnings: string[]): Record<string, string> {
  const labels = new Map<string, string>(); // a label may be called __proto__
  for (const [name, text] of env) {
    if (name !== "ISTIO_METAJSON_LABELS") continue;
    for (const [key, value] of Object.entries(parseObject(text) ?? {})) {
      if (typeof value !== "string")
        warnings.push(`Label ${key} of ISTIO_METAJSON_LABELS is no text and counts as empty`);
      labels.set(key, typeof value === "string" ? value : "");
    }
  }
  return Object.fromEntries(labels);
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined; // reported when the raw metadata was read
  }
}

function pilotSanOf(proxy: ProxyConfig): string | undefined {
  if (proxy.controlPlaneAuthPolicy !== "MUTUAL_TLS") return undefined;
  const [host = ""] = proxy.discoveryAddress.split(":");
  return host === "localhost" ? "istiod.istio-system.svc" : host;
}

function sorted(object: Readonly<Record<string, MetadataValue>>): JsonObject {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1))) as JsonObject;
}
