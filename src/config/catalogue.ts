import { formatGoDuration, fromMs, parseGoDuration, toMs } from "../base/index.ts";
import { parseGoBool } from "./go-bool.ts";

/** How the text of a variable becomes a value. */
interface Parser<T> {
  /** Undefined for text that is no such value. */
  readonly parse: (text: string) => T | undefined;
  /** For the message about a value that cannot be parsed, after "expecting". */
  readonly wanted: string;
  readonly print: (value: T) => string;
}

/** One variable of the environment. */
export interface Setting<T> {
  readonly env: string;
  readonly type: string;
  readonly parser: Parser<T>;
  readonly default: T;
  readonly help: string;
  /** The room that uses it. */
  readonly room: string;
  /** Its value is never shown. */
  readonly isSecret?: boolean;
  /** It is read, but the part that it is for does not exist yet: setting it is a warning. A test compares this with the code. */
  readonly isPending?: boolean;
}

const STRING: Parser<string> = { parse: (text) => text, wanted: "a string", print: (value) => value };
const BOOL: Parser<boolean> = { parse: parseGoBool, wanted: "true/false", print: String };
const INT: Parser<number> = {
  parse: (text) => (/^[+-]?\d+$/.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : undefined),
  wanted: "an integer",
  print: String,
};
const INT32: Parser<number> = {
  ...INT,
  parse: (text) => {
    const value = INT.parse(text);
    return value !== undefined && value === (value | 0) ? value : undefined;
  },
};
const FLOAT: Parser<number> = {
  parse: (text) => {
    const isDecimal = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text);
    return isDecimal && Number.isFinite(Number(text)) ? Number(text) : undefined;
  },
  wanted: "a floating-point value",
  print: String,
};
const DURATION_MS: Parser<number> = {
  parse: (text) => {
    const duration = parseGoDuration(text);
    return duration === undefined ? undefined : toMs(duration);
  },
  wanted: "a duration",
  print: (ms) => formatGoDuration(fromMs(ms)),
};
const LIST: Parser<readonly string[]> = {
  parse: (text) =>
    text
      .split(",")
      .map((item) => item.trim())
      .filter((item) => item !== ""),
  wanted: "a comma list",
  print: (value) => value.join(","),
};
const TRI_STATE: Parser<boolean | undefined> = {
  parse: parseGoBool,
  wanted: "true/false",
  print: (value) => (value === undefined ? "" : String(value)),
};
const oneOf = <const V extends readonly string[]>(...values: V): Parser<V[number]> => ({
  parse: (text) => values.find((value) => value === text),
  wanted: values.map((value) => (value === "" ? "empty" : value)).join(", "),
  print: (value) => value,
});

type Row<T> = Omit<Setting<T>, "type" | "parser">;
const string = (row: Row<string>): Setting<string> => ({ ...row, type: "string", parser: STRING });
const bool = (row: Row<boolean>): Setting<boolean> => ({ ...row, type: "bool", parser: BOOL });
const int = (row: Row<number>): Setting<number> => ({ ...row, type: "int", parser: INT });
const int32 = (row: Row<number>): Setting<number> => ({ ...row, type: "int", parser: INT32 });
const float = (row: Row<number>): Setting<number> => ({ ...row, type: "float", parser: FLOAT });
const durationMs = (row: Row<number>): Setting<number> => ({ ...row, type: "duration", parser: DURATION_MS });
const list = (row: Row<readonly string[]>): Setting<readonly string[]> => ({ ...row, type: "list", parser: LIST });

/**
 * Every variable the agent reads, except the prefixes ISTIO_META_, ISTIO_METAJSON_, XDS_HEADER_ and CA_HEADER_.
 * docs/config.md and `pilotboat config` are made from this table. Names, types and defaults: istio/istio
 * pilot/cmd/pilot-agent/options, pkg/istio-agent, pkg/bootstrap, security/pkg/nodeagent.
 */
export const CATALOGUE = {
  // identity of the workload
  podName: string({ env: "POD_NAME", default: "", help: "Name of the pod: part of the node id", room: "node" }),
  podNamespace: string({
    env: "POD_NAMESPACE",
    default: "",
    help: "Namespace of the pod: node id, DNS domain, SPIFFE identity",
    room: "node",
  }),
  serviceAccount: string({
    env: "SERVICE_ACCOUNT",
    default: "",
    help: "Service account of the pod: SPIFFE identity",
    room: "node",
  }),
  instanceIp: string({ env: "INSTANCE_IP", default: "", help: "The pod's first IP address", room: "node" }),
  hostIp: string({ env: "HOST_IP", default: "", help: "Replaces $(HOST_IP) in addresses", room: "bootstrap" }),
  trustDomain: string({
    env: "TRUST_DOMAIN",
    default: "cluster.local",
    help: "SPIFFE trust domain",
    room: "identity",
  }),
  clusterId: string({
    env: "ISTIO_META_CLUSTER_ID",
    default: "",
    help: "Cluster id sent to the control plane",
    room: "identity",
  }),
  isSelfDiscovery: bool({
    env: "ISTIO_META_ENABLE_SELF_DISCOVERY",
    default: false,
    help: "Takes effect as node metadata only",
    room: "node",
  }),
  certSigner: string({
    env: "ISTIO_META_CERT_SIGNER",
    default: "",
    help: "Signer named in certificate requests",
    room: "identity",
  }),
  kubernetesServiceHost: string({
    env: "KUBERNETES_SERVICE_HOST",
    default: "",
    help: "Set in every pod; written certificates are then readable by all",
    room: "identity",
  }),
  // configuration and bootstrap
  proxyConfig: string({
    env: "PROXY_CONFIG",
    default: "",
    help: "ProxyConfig as YAML or JSON, over the mesh file",
    isSecret: true, // its fields are shown one by one
    room: "config",
  }),
  cpuLimit: int32({
    env: "ISTIO_CPU_LIMIT",
    default: 0,
    help: "CPU limit in whole CPUs: Envoy's worker threads unless concurrency is set",
    room: "config",
  }),
  bootstrapTemplate: string({
    env: "ISTIO_BOOTSTRAP",
    default: "",
    help: "Bootstrap template that beats every other choice",
    room: "bootstrap",
  }),
  bootstrapOverride: string({
    env: "ISTIO_BOOTSTRAP_OVERRIDE",
    default: "",
    help: "YAML or JSON file given to Envoy as inline overlay",
    room: "bootstrap",
  }),
  stripFragmentUnsafeIfDisabled: bool({
    env: "HTTP_STRIP_FRAGMENT_FROM_PATH_UNSAFE_IF_DISABLED",
    default: true,
    help: "When false, Envoy keeps fragments in paths",
    room: "bootstrap",
  }),
  compliancePolicy: string({
    env: "COMPLIANCE_POLICY",
    default: "",
    help: "fips-140-2, fips-140-3, pqc or empty: limits of all TLS",
    room: "identity",
  }),
  isDeltaXds: bool({
    env: "ISTIO_DELTA_XDS",
    default: true,
    help: "Delta xDS instead of state of the world",
    room: "bootstrap",
  }),
  isDualStack: bool({
    env: "ISTIO_DUAL_STACK",
    default: false,
    help: "Listeners of both families for mixed addresses",
    room: "bootstrap",
  }),
  envoyStatusPort: int({
    env: "ENVOY_STATUS_PORT",
    default: 15_021,
    help: "Envoy's health listener",
    room: "bootstrap",
  }),
  isStatusPortProxyProtocol: bool({
    env: "ENVOY_STATUS_PORT_ENABLE_PROXY_PROTOCOL",
    default: false,
    help: "PROXY protocol on that listener",
    room: "bootstrap",
  }),
  envoyPrometheusPort: int({
    env: "ENVOY_PROMETHEUS_PORT",
    default: 15_090,
    help: "Envoy's metrics listener",
    room: "bootstrap",
  }),
  secureMetricsPort: int({
    env: "ENVOY_SECURE_METRICS_PORT",
    default: 0,
    help: "Mutual-TLS listener with Envoy's metrics; 0 for none",
    room: "bootstrap",
  }),
  secureMergedMetricsPort: int({
    env: "ENVOY_SECURE_MERGED_METRICS_PORT",
    default: 0,
    help: "Mutual-TLS listener with merged metrics; 0 for none",
    room: "bootstrap",
  }),
  peerMetadataDiscovery: {
    env: "PEER_METADATA_DISCOVERY",
    type: "bool",
    parser: TRI_STATE,
    default: undefined,
    help: "Forces metadata discovery on or off; unset follows ENABLE_HBONE",
    room: "node",
  } as Setting<boolean | undefined>,
  workloadSocketFile: string({
    env: "WORKLOAD_IDENTITY_SOCKET_FILE",
    default: "socket",
    help: "File name of the workload SDS socket",
    room: "identity",
  }),
  skipDeprecatedLogs: bool({
    env: "ENVOY_SKIP_DEPRECATED_LOGS",
    default: true,
    help: "Envoy does not log deprecated fields",
    room: "envoy",
  }),
  isEnvoyDisabled: bool({
    env: "DISABLE_ENVOY",
    default: false,
    help: "Run without Envoy, for proxyless gRPC",
    room: "agent",
  }),
  grpcBootstrapPath: string({
    env: "GRPC_XDS_BOOTSTRAP",
    default: "etc/istio/proxy/grpc-bootstrap.json",
    help: "gRPC xDS bootstrap file; empty for none",
    room: "bootstrap",
  }),
  isProxyConfigOverXds: bool({
    env: "PROXY_CONFIG_XDS_AGENT",
    default: false,
    help: "Take additional roots from the control plane",
    room: "xds",
    isPending: true,
  }),
  cloudPlatform: string({
    env: "CLOUD_PLATFORM",
    default: "",
    help: "aws, azure, gcp, none; anything else detects it",
    room: "node",
    isPending: true,
  }),
  gcpMetadata: string({
    env: "GCP_METADATA",
    default: "",
    help: "PROJECT_ID|PROJECT_NUMBER|CLUSTER_NAME|CLUSTER_ZONE",
    room: "node",
    isPending: true,
  }),
  gcpQuotaProject: string({
    env: "GCP_QUOTA_PROJECT",
    default: "",
    help: "Quota project on GCP",
    room: "node",
    isPending: true,
  }),
  gcpZone: string({ env: "GCP_ZONE", default: "", help: "Static zone on GCP", room: "node", isPending: true }),
  gceMetadataHost: string({
    env: "GCE_METADATA_HOST",
    default: "",
    help: "Metadata server; its presence alone means GCE",
    room: "node",
  }),
  // control plane and certificates
  caAddress: string({
    env: "CA_ADDR",
    default: "",
    help: "CA address; empty means the discovery address",
    room: "identity",
  }),
  caProvider: string({ env: "CA_PROVIDER", default: "Citadel", help: "CA client", room: "identity" }),
  caRoot: string({ env: "CA_ROOT_CA", default: "", help: "Root file for the CA, or SYSTEM", room: "identity" }),
  xdsRoot: string({ env: "XDS_ROOT_CA", default: "", help: "Root file for xDS, or SYSTEM", room: "identity" }),
  xdsAuthProvider: string({
    env: "XDS_AUTH_PROVIDER",
    default: "",
    help: "Accepted, without effect",
    room: "identity",
  }),
  istiodSan: string({
    env: "ISTIOD_SAN",
    default: "",
    help: "Name that the control plane's certificate must carry",
    room: "identity",
  }),
  pilotCertProvider: string({
    env: "PILOT_CERT_PROVIDER",
    default: "istiod",
    help: "Chooses the root file: istiod, custom, none, k8s.io/NAME",
    room: "identity",
  }),
  jwtPolicy: string({ env: "JWT_POLICY", default: "third-party-jwt", help: "Kind of token", room: "identity" }),
  credentialFetcher: string({
    env: "CREDENTIAL_FETCHER_TYPE",
    default: "JWT",
    help: "Source of tokens: JWT, GoogleComputeEngine, Mock",
    room: "identity",
  }),
  credentialIdentityProvider: string({
    env: "CREDENTIAL_IDENTITY_PROVIDER",
    default: "GoogleComputeEngine",
    help: "Accepted, without effect",
    room: "identity",
  }),
  provCert: string({
    env: "PROV_CERT",
    default: "",
    help: "Folder with a certificate for the connections to CA and xDS",
    room: "identity",
  }),
  isFileMountedCerts: bool({
    env: "FILE_MOUNTED_CERTS",
    default: false,
    help: "Certificates come from files, not from the CA",
    room: "identity",
  }),
  outputCerts: string({
    env: "OUTPUT_CERTS",
    default: "",
    help: "Folder to write issued certificates to",
    room: "identity",
  }),
  secretTtlMs: durationMs({
    env: "SECRET_TTL",
    default: 86_400_000,
    help: "Lifetime of certificates asked for",
    room: "identity",
  }),
  gracePeriodRatio: float({
    env: "SECRET_GRACE_PERIOD_RATIO",
    default: 0.5,
    help: "Share of the lifetime left when rotation begins",
    room: "identity",
  }),
  gracePeriodJitter: float({
    env: "SECRET_GRACE_PERIOD_RATIO_JITTER",
    default: 0.01,
    help: "Random spread of that share",
    room: "identity",
  }),
  rsaKeySize: int({ env: "WORKLOAD_RSA_KEY_SIZE", default: 2048, help: "Bits of RSA keys", room: "identity" }),
  isPkcs8: bool({ env: "PKCS8_KEY", default: false, help: "Keys as PKCS#8", room: "identity" }),
  eccAlgorithm: string({
    env: "ECC_SIGNATURE_ALGORITHM",
    default: "",
    help: "ECDSA for elliptic-curve keys; empty for RSA",
    room: "identity",
  }),
  eccCurve: string({ env: "ECC_CURVE", default: "P256", help: "P256 or P384", room: "identity" }),
  fileDebounceMs: durationMs({
    env: "FILE_DEBOUNCE_DURATION",
    default: 100,
    help: "Wait after a file changed",
    room: "identity",
  }),
  isCrlEnabled: bool({
    env: "PILOT_ENABLE_CA_CRL",
    default: true,
    help: "Attach the revocation list to roots",
    room: "identity",
  }),
  caRequestTimeoutMs: durationMs({
    env: "CA_REQUEST_TIMEOUT",
    default: 15_000,
    help: "Limit of one call to the CA (pilotboat's own)",
    room: "identity",
  }),
  keepaliveIntervalMs: durationMs({
    env: "GRPC_KEEPALIVE_INTERVAL",
    default: 30_000,
    help: "Idle time before a gRPC ping",
    room: "xds",
  }),
  keepaliveTimeoutMs: durationMs({
    env: "GRPC_KEEPALIVE_TIMEOUT",
    default: 10_000,
    help: "Wait for the answer to it",
    room: "xds",
  }),
  maxStreams: int({ env: "ISTIO_GPRC_MAXSTREAMS", default: 100_000, help: "gRPC streams per connection", room: "xds" }),
  maxRequestBytes: int({
    env: "ISTIO_GPRC_MAXRECVMSGSIZE",
    default: 64 * 1024 * 1024,
    help: "Largest request taken from Envoy (istio: 4194304)",
    room: "xds",
  }),
  // DNS
  isDnsCapture: bool({
    env: "ISTIO_META_DNS_CAPTURE",
    default: false,
    help: "Local DNS server for sidecars; this version has none and refuses to start",
    room: "dns",
  }),
  isDnsServer: bool({
    env: "ISTIO_META_ENABLE_DNS_SERVER",
    default: false,
    help: "Local DNS server for any role; this version has none and refuses to start",
    room: "dns",
  }),
  dnsProxyAddress: string({
    env: "DNS_PROXY_ADDR",
    default: "localhost:15053",
    help: "Where that server listens; ending in :53 with uid 0 also changes Envoy's user",
    room: "dns",
  }),
  isDnsForwardParallel: bool({
    env: "DNS_FORWARD_PARALLEL",
    default: false,
    help: "Ask all upstream resolvers at the same time",
    room: "dns",
    isPending: true,
  }),
  dnsForwardTimeoutMs: durationMs({
    env: "DNS_FORWARD_TIMEOUT",
    default: 5_000,
    help: "Limit of one question to an upstream resolver",
    room: "dns",
    isPending: true,
  }),
  // Wasm
  isWasmConversionEnabled: bool({
    env: "ISTIO_AGENT_ENABLE_WASM_REMOTE_LOAD_CONVERSION",
    default: true,
    help: "Fetch remote Wasm modules and give Envoy local files",
    room: "wasm",
    isPending: true,
  }),
  wasmInsecureRegistries: list({
    env: "WASM_INSECURE_REGISTRIES",
    default: [],
    help: "Registries that may be asked without TLS verification",
    room: "wasm",
    isPending: true,
  }),
  wasmModuleExpiryMs: durationMs({
    env: "WASM_MODULE_EXPIRY",
    default: 86_400_000,
    help: "How long an unused module is kept",
    room: "wasm",
    isPending: true,
  }),
  wasmPurgeIntervalMs: durationMs({
    env: "WASM_PURGE_INTERVAL",
    default: 3_600_000,
    help: "Time between sweeps of the module cache",
    room: "wasm",
    isPending: true,
  }),
  wasmRequestTimeoutMs: durationMs({
    env: "WASM_HTTP_REQUEST_TIMEOUT",
    default: 15_000,
    help: "Limit of one fetch",
    room: "wasm",
    isPending: true,
  }),
  wasmMaxRetries: int({
    env: "WASM_HTTP_REQUEST_MAX_RETRIES",
    default: 5,
    help: "Tries of one fetch",
    room: "wasm",
    isPending: true,
  }),
  wasmMaxBytes: int({
    env: "ISTIO_WASM_MAX_BINARY_SIZE_BYTES",
    default: 256 * 1024 * 1024,
    help: "Largest module",
    room: "wasm",
    isPending: true,
  }),
  blockedWasmCidrs: list({
    env: "BLOCKED_CIDRS_IN_WASM_FETCH",
    default: [],
    help: "Address ranges that modules are never fetched from",
    room: "wasm",
    isPending: true,
  }),
  // life
  isExitOnZeroConnections: bool({
    env: "EXIT_ON_ZERO_ACTIVE_CONNECTIONS",
    default: false,
    help: "Drain until no connection is open",
    room: "envoy",
  }),
  minDrainMs: durationMs({
    env: "MINIMUM_DRAIN_DURATION",
    default: 5_000,
    help: "Shortest drain before connections are counted",
    room: "envoy",
  }),
  isCoreDumpEnabled: bool({
    env: "ISTIO_ENVOY_ENABLE_CORE_DUMP",
    default: false,
    help: "Envoy may dump core",
    room: "envoy",
  }),
  envoyBinary: string({
    env: "ENVOY_BIN",
    default: "",
    help: "Envoy's executable (pilotboat's own; binaryPath and --envoy come first)",
    room: "envoy",
  }),
  restart: {
    env: "PILOTBOAT_RESTART",
    type: "string",
    parser: oneOf("never", "on-failure", "always"),
    default: "never",
    help: "What happens when Envoy ends by itself: never, on-failure or always",
    room: "envoy",
  } as Setting<"never" | "on-failure" | "always">,
  stopDeadlineMs: durationMs({
    env: "PILOTBOAT_STOP_DEADLINE",
    default: 0,
    help: "Longest time from the first signal to the end; 0 for none",
    room: "envoy",
  }),
  drainDelayMs: durationMs({
    env: "PILOTBOAT_DRAIN_DELAY",
    default: 0,
    help: "Wait after the first signal before the drain begins",
    room: "envoy",
  }),
  isHotRestart: bool({
    env: "PILOTBOAT_HOT_RESTART",
    default: false,
    help: "Run Envoy so that it can be replaced without losing a request",
    room: "envoy",
    isPending: true,
  }),
  hasWatchdog: bool({
    env: "PILOTBOAT_WATCHDOG",
    default: false,
    help: "Treat an Envoy whose admin does not answer as hung",
    room: "envoy",
    isPending: true,
  }),
  // status
  isEnvoyStatsMerged: bool({
    env: "PILOT_AGENT_MERGE_ENVOY_STATS",
    default: true,
    help: "Envoy's metrics in the agent's",
    room: "status",
  }),
  isMetricsLocalOnly: bool({
    env: "METRICS_LOCALHOST_ACCESS_ONLY",
    default: false,
    help: "Metrics for loopback callers only",
    room: "status",
  }),
  appProbers: string({
    env: "ISTIO_KUBE_APP_PROBERS",
    default: "",
    help: "The application's probes, as JSON by path; the injector writes it",
    room: "status",
    isPending: true,
  }),
  prometheusAnnotations: string({
    env: "ISTIO_PROMETHEUS_ANNOTATIONS",
    default: "",
    help: "Where the application's metrics are, as JSON (sidecars only); empty counts as unset",
    room: "status",
    isPending: true,
  }),
  isHttp2Probing: bool({
    env: "ISTIO_ENABLE_HTTP2_PROBING",
    default: true,
    help: "Offer HTTP/2 to HTTPS probes",
    room: "status",
    isPending: true,
  }),
  isProbingLocalhost: bool({
    env: "REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION",
    default: false,
    help: "Probe localhost instead of the pod's address",
    room: "status",
    isPending: true,
  }),
  isProbeKeepalive: bool({
    env: "ENABLE_PROBE_KEEPALIVE_CONNECTIONS",
    default: false,
    help: "Keep connections of HTTP probes open",
    room: "status",
    isPending: true,
  }),
  isQueueMetrics: bool({
    env: "ISTIO_ENABLE_CONTROLLER_QUEUE_METRICS",
    default: false,
    help: "Accepted, without effect",
    room: "status",
  }),
} as const;

/** The typed value of every variable, by its name in code. */
export type Settings = {
  readonly [K in keyof typeof CATALOGUE]: (typeof CATALOGUE)[K] extends Setting<infer T> ? T : never;
};
