import { AgentError, parseGoBool } from "../../base/index.ts";

/** A JSON value of node metadata. */
export type MetadataValue = string | number | boolean | null | readonly MetadataValue[] | MetadataObject;
export interface MetadataObject {
  readonly [key: string]: MetadataValue;
}

/**
 * How a typed field is read and written. `flag`: "true"/"false" as text; `names`: text joined by commas; `ports`: JSON
 * of a port list as text; the others as JSON has them.
 */
type Kind = "text" | "integer" | "flag" | "names" | "labels" | "texts" | "ports" | "object";

/** Typed fields in the reference's order, with the name by which templates know them. */
export const TYPED_FIELDS: ReadonlyMap<string, { readonly kind: Kind; readonly goName: string }> = new Map(
  (
    [
      ["PROXY_CONFIG", "object", "ProxyConfig"],
      ["ISTIO_VERSION", "text", "IstioVersion"],
      ["ISTIO_REVISION", "text", "IstioRevision"],
      ["LABELS", "labels", "Labels"],
      ["STATIC_LABELS", "labels", "StaticLabels"],
      ["ANNOTATIONS", "labels", "Annotations"],
      ["INSTANCE_IPS", "names", "InstanceIPs"],
      ["NAMESPACE", "text", "Namespace"],
      ["NODE_NAME", "text", "NodeName"],
      ["WORKLOAD_NAME", "text", "WorkloadName"],
      ["INTERCEPTION_MODE", "text", "InterceptionMode"],
      ["SERVICE_ACCOUNT", "text", "ServiceAccount"],
      ["HTTP_PROXY_PORT", "text", "HTTPProxyPort"],
      ["MESH_ID", "text", "MeshID"],
      ["CLUSTER_ID", "text", "ClusterID"],
      ["NETWORK", "text", "Network"],
      ["REQUESTED_NETWORK_VIEW", "names", "RequestedNetworkView"],
      ["POD_PORTS", "ports", "PodPorts"],
      ["TLS_SERVER_CERT_CHAIN", "text", "TLSServerCertChain"],
      ["TLS_SERVER_KEY", "text", "TLSServerKey"],
      ["TLS_SERVER_ROOT_CERT", "text", "TLSServerRootCert"],
      ["TLS_CLIENT_CERT_CHAIN", "text", "TLSClientCertChain"],
      ["TLS_CLIENT_KEY", "text", "TLSClientKey"],
      ["TLS_CLIENT_ROOT_CERT", "text", "TLSClientRootCert"],
      ["BASE", "text", "CertBaseDir"],
      ["IDLE_TIMEOUT", "text", "IdleTimeout"],
      ["HTTP10", "text", "HTTP10"],
      ["GENERATOR", "text", "Generator"],
      ["ENABLE_SELF_DISCOVERY", "flag", "EnableSelfDiscovery"],
      ["DNS_CAPTURE", "flag", "DNSCapture"],
      ["DNS_AUTO_ALLOCATE", "flag", "DNSAutoAllocate"],
      ["DNS_PROXY_ADDR", "text", "DNSProxyAddr"],
      ["ENABLE_HBONE", "flag", "EnableHBONE"],
      ["DISABLE_HBONE_SEND", "flag", "DisableHBONESend"],
      ["AUTO_REGISTER_GROUP", "text", "AutoRegisterGroup"],
      ["WORKLOAD_ENTRY", "text", "WorkloadEntry"],
      ["UNPRIVILEGED_POD", "text", "UnprivilegedPod"],
      ["PLATFORM_METADATA", "labels", "PlatformMetadata"],
      ["STS_PORT", "text", "StsPort"],
      ["ENVOY_STATUS_PORT", "integer", "EnvoyStatusPort"],
      ["ENVOY_PROMETHEUS_PORT", "integer", "EnvoyPrometheusPort"],
      ["ENVOY_SECURE_METRICS_PORT", "integer", "EnvoySecureMetricsPort"],
      ["ENVOY_SECURE_MERGED_METRICS_PORT", "integer", "EnvoySecureMergedMetricsPort"],
      ["EXIT_ON_ZERO_ACTIVE_CONNECTIONS", "flag", "ExitOnZeroActiveConnections"],
      ["INBOUND_LISTENER_EXACT_BALANCE", "flag", "InboundListenerExactBalance"],
      ["OUTBOUND_LISTENER_EXACT_BALANCE", "flag", "OutboundListenerExactBalance"],
      ["CLOUDRUN_ADDR", "text", "CloudrunAddr"],
      ["METADATA_DISCOVERY", "flag", "MetadataDiscovery"],
      ["ENVOY_SKIP_DEPRECATED_LOGS", "flag", "EnvoySkipDeprecatedLogs"],
      ["WORKLOAD_IDENTITY_SOCKET_FILE", "text", "WorkloadIdentitySocketFile"],
      ["NAME", "text", "InstanceName"],
      ["OWNER", "text", "Owner"],
      ["PILOT_SAN", "texts", "PilotSubjectAltName"],
      ["OUTLIER_LOG_PATH", "text", "OutlierLogPath"],
      ["APP_CONTAINERS", "text", "AppContainers"],
      ["ISTIO_PROXY_SHA", "text", "IstioProxySHA"],
    ] as const
  ).map(([name, kind, goName]) => [name, { kind, goName }] as const),
);

/** Values of typed fields in memory: flags as booleans, name lists as arrays, ports as arrays of objects. */
export type TypedMetadata = Readonly<Record<string, MetadataValue>>;

/** Raw metadata with the variable, file or setting each key came from. */
export type RawMetadata = ReadonlyMap<string, { readonly value: MetadataValue; readonly from: string }>;

/**
 * Reads the typed fields out of the raw map. A key matches by its exact name, else whatever its case.
 * Throws CONFIG_INVALID naming the variable. Source: istio/istio pkg/model/proxy.go (NodeMetadata), Go encoding/json.
 */
export function readTyped(raw: RawMetadata): Record<string, MetadataValue> {
  const { typed, troubles } = readAll(raw);
  const [first] = troubles;
  if (first === undefined) return typed;
  const { from, key, found, wanted } = first;
  throw new AgentError("CONFIG_INVALID", `Cannot use ${from} as metadata ${key}: found ${found}, wanted ${wanted}`);
}

/** A typed field with a value of another type. */
export interface TypedTrouble {
  readonly key: string;
  /** The variable, or the entry of proxyMetadata. */
  readonly from: string;
  readonly found: string;
  readonly wanted: string;
}

/** Everything that `readTyped` would refuse. */
export function typedTroubles(raw: RawMetadata): readonly TypedTrouble[] {
  return readAll(raw).troubles;
}

function readAll(raw: RawMetadata) {
  const typed: Record<string, MetadataValue> = {};
  const troubles: TypedTrouble[] = [];
  for (const [key, { value, from }] of [...raw].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const name = TYPED_FIELDS.has(key) ? key : key.toUpperCase();
    const field = TYPED_FIELDS.get(name);
    if (field === undefined || value === null) continue;
    const decoded = decode(field.kind, value);
    if (decoded !== undefined) typed[name] = decoded;
    else troubles.push({ key, from, found: JSON.stringify(value), wanted: WANTED[field.kind] });
  }
  return { typed, troubles };
}

/** The JSON of the typed fields: empty values are left out, METADATA_DISCOVERY stays even when it is false. */
export function writeTyped(typed: TypedMetadata): Record<string, MetadataValue> {
  const json: Record<string, MetadataValue> = {};
  for (const [name, { kind }] of TYPED_FIELDS) {
    const value = typed[name];
    if (value === undefined || (isEmpty(value) && !(name === "METADATA_DISCOVERY" && value === false))) continue;
    json[name] = encode(kind, value);
  }
  return json;
}

function decode(kind: Kind, value: MetadataValue): MetadataValue | undefined {
  switch (kind) {
    case "text":
      return typeof value === "string" ? value : undefined;
    case "integer":
      return typeof value === "number" && Number.isInteger(value) ? value : undefined;
    case "flag":
      return typeof value === "string" ? parseGoBool(value) : undefined;
    case "names":
      if (typeof value !== "string") return undefined;
      return value === "" ? [] : value.split(",");
    case "ports":
      return typeof value === "string" ? ports(value) : undefined;
    case "labels":
      return isObject(value) && Object.values(value).every((one) => typeof one === "string") ? value : undefined;
    case "texts":
      return Array.isArray(value) && value.every((one) => typeof one === "string") ? value : undefined;
    case "object":
      return isObject(value) ? value : undefined;
  }
}

function encode(kind: Kind, value: MetadataValue): MetadataValue {
  if (kind === "flag") return String(value);
  if (kind === "names") return (value as readonly string[]).join(",");
  return kind === "ports" ? JSON.stringify(value) : value;
}

function ports(text: string): MetadataValue | undefined {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (list === null) return [];
  if (!Array.isArray(list)) return undefined;
  const read = list.map(portOf);
  return read.some((port) => port === undefined) ? undefined : (read as MetadataObject[]);
}

function portOf(item: unknown): MetadataObject | undefined {
  if (!isObject(item as MetadataValue)) return undefined;
  const { name = "", containerPort = 0, protocol = "" } = item as MetadataObject;
  if (typeof name !== "string" || typeof containerPort !== "number" || typeof protocol !== "string") return undefined;
  return name === "" ? { containerPort, protocol } : { name, containerPort, protocol };
}

function isObject(value: MetadataValue | undefined): value is MetadataObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isEmpty(value: MetadataValue): boolean {
  if (Array.isArray(value)) return value.length === 0;
  if (isObject(value)) return Object.keys(value).length === 0;
  return value === "" || value === 0 || value === false;
}

const WANTED: Readonly<Record<Kind, string>> = {
  text: "text",
  integer: "a whole number, which no environment variable can give",
  flag: '"true" or "false"',
  names: "text with commas",
  ports: "text that is a JSON list of {name, containerPort, protocol}",
  labels: "an object of texts",
  texts: "a list of texts",
  object: "an object",
};
