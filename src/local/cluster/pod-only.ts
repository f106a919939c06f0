/** What a pod's proxy is told and a proxy elsewhere must not be, and why. */
export type WhyNot = string;

const FORWARD = "istiod is reached through the port-forward";
const FILE = "it names a file of the pod";
const LIMIT = "it is a limit of the pod's container";
const PORT = "free ports of this machine are used";
const DNS = "nothing redirects DNS on this machine";
const END = "the end follows the application, as with run";
const INSIDE = "it leads to an address inside the cluster";

const VARIABLES: Readonly<Record<string, WhyNot>> = {
  CA_ADDR: FORWARD,
  ISTIOD_SAN: FORWARD,
  CA_ROOT_CA: FORWARD,
  XDS_ROOT_CA: FORWARD,
  FILE_MOUNTED_CERTS: FILE,
  OUTPUT_CERTS: FILE,
  PROV_CERT: FILE,
  ISTIO_BOOTSTRAP: FILE,
  ISTIO_BOOTSTRAP_OVERRIDE: FILE,
  GRPC_XDS_BOOTSTRAP: FILE,
  WORKLOAD_IDENTITY_SOCKET_FILE: FILE,
  ISTIO_CPU_LIMIT: LIMIT,
  GOMEMLIMIT: LIMIT,
  GOMAXPROCS: LIMIT,
  GODEBUG: LIMIT,
  ENVOY_STATUS_PORT: PORT,
  ENVOY_PROMETHEUS_PORT: PORT,
  ENVOY_SECURE_METRICS_PORT: PORT,
  ISTIO_KUBE_APP_PROBERS: "no kubelet probes this machine",
  ISTIO_PROMETHEUS_ANNOTATIONS: "the metrics are those of the pod's application",
  ISTIO_META_UNPRIVILEGED_POD: "listeners that need more rights are moved",
  DNS_PROXY_ADDR: DNS,
  ISTIO_META_DNS_CAPTURE: DNS,
  ISTIO_META_DNS_AUTO_ALLOCATE: DNS,
  EXIT_ON_ZERO_ACTIVE_CONNECTIONS: END,
  MINIMUM_DRAIN_DURATION: END,
};

const FIELDS: Readonly<Record<string, WhyNot>> = {
  discoveryAddress: FORWARD,
  controlPlaneAuthPolicy: FORWARD,
  caCertificatesPem: FORWARD,
  binaryPath: FILE,
  configPath: FILE,
  customConfigFile: FILE,
  proxyBootstrapTemplatePath: FILE,
  privateKeyProvider: "it is hardware of the pod's node",
  concurrency: LIMIT,
  proxyAdminPort: PORT,
  statusPort: PORT,
  terminationDrainDuration: END,
  drainDuration: END,
  holdApplicationUntilProxyStarts: END,
  readinessProbe: "it reports the health of an endpoint",
  statsdUdpAddress: INSIDE,
  tracing: INSIDE,
  envoyAccessLogService: INSIDE,
  envoyMetricsService: INSIDE,
  zipkinAddress: INSIDE,
};

/** Of a variable of the pod's proxy; undefined where it holds elsewhere, too. */
export function whyNotVariable(name: string, value: string): WhyNot | undefined {
  if (name === "PILOT_CERT_PROVIDER" && value !== "istiod") return FORWARD;
  if (name.startsWith("PILOTBOAT_")) return "it is for the agent in the pod";
  return VARIABLES[name] ?? (value.startsWith("/") ? FILE : undefined);
}

/** Of a field of its ProxyConfig. */
export function whyNotField(name: string): WhyNot | undefined {
  return FIELDS[name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())];
}

const ANNOTATIONS: Readonly<Record<string, WhyNot>> = {
  "proxy.istio.io/config": "its fields are taken over one by one, and as a whole it would beat what this machine says",
  "sidecar.istio.io/discoveryAddress": FORWARD,
  "status.sidecar.istio.io/port": PORT,
};

/** Of an annotation that would beat what this machine says. */
export function whyNotAnnotation(name: string): WhyNot | undefined {
  return ANNOTATIONS[name];
}

/** istiod makes a WorkloadEntry, so an endpoint, for a proxy that says this. */
export const REGISTERS = "ISTIO_META_AUTO_REGISTER_GROUP";
