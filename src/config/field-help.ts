import type { ProxyConfig } from "../istio/mesh/index.ts";

/** What each field of ProxyConfig is for, in one line. Meaning: istio/api mesh/v1alpha1/proxy.proto. */
export const FIELD_HELP: Readonly<Record<keyof ProxyConfig, string>> = {
  configPath: "Folder of the generated bootstrap and of the xDS socket",
  binaryPath: "Envoy's executable",
  serviceCluster: "Envoy's cluster name; istio-proxy means: take it from the workload's labels",
  tracingServiceName: "How the cluster name is made from labels, in place of serviceCluster",
  drainDuration: "How long Envoy drains connections, in whole seconds",
  discoveryAddress: "The control plane, host:port",
  discoveryRefreshDelay: "Deprecated",
  zipkinAddress: "Deprecated: use tracing.zipkin.address",
  statsdUdpAddress: "Where Envoy sends statistics, host:port; the name is looked up once at the start",
  envoyMetricsServiceAddress: "Deprecated: use envoyMetricsService",
  proxyAdminPort: "Port of Envoy's admin API on loopback",
  availabilityZone: "Deprecated",
  controlPlaneAuthPolicy: "MUTUAL_TLS, or NONE for a control plane without TLS",
  customConfigFile:
    "A whole Envoy configuration, used as it is in place of a generated bootstrap; then no root certificate is needed",
  statNameLength: "Longest name of a statistic",
  concurrency: "Envoy's worker threads; 0 is one per hardware thread, absent follows ISTIO_CPU_LIMIT",
  proxyBootstrapTemplatePath: "Bootstrap template; --templateFile beats it",
  interceptionMode:
    "For the injector: how traffic is redirected to Envoy; ISTIO_META_INTERCEPTION_MODE tells it to the control plane",
  tracing: "Tracer, its address, tags and sampling",
  sds: "Deprecated",
  envoyAccessLogService: "gRPC access log service, and TLS towards it",
  envoyMetricsService: "gRPC metrics service, and TLS towards it",
  proxyMetadata:
    "Node metadata (ISTIO_META_ names), and for the injector variables, which have no effect without one; overlays merge key by key",
  statusPort: "Port of the agent's own status server; 0 for none",
  extraStatTags: "Tags that Envoy takes out of statistics names, beside Istio's own",
  gatewayTopology: "Trusted proxies in front of a gateway; told to the control plane",
  terminationDrainDuration: "How long the agent waits between drain and SIGTERM of Envoy",
  meshId: "For the injector: name of the mesh; ISTIO_META_MESH_ID tells it to the control plane",
  readinessProbe: "Health check of a workload on a virtual machine, reported to the control plane",
  proxyStatsMatcher: "Statistics that Envoy keeps, beside Istio's own choice",
  holdApplicationUntilProxyStarts: "For the injector: start the application after the proxy",
  caCertificatesPem: "Additional roots, PEM, as the control plane sends them to the agent",
  image: "For the injector: which proxy image",
  privateKeyProvider: "Hardware that does private-key operations for Envoy",
  proxyHeaders: "Which headers Envoy adds; overlays inherit five of the members",
  runtimeValues: "Envoy's runtime flags, by name",
  fileFlushInterval: "How often Envoy flushes log files",
  fileFlushMinSizeKb: "How much Envoy buffers before it flushes a log file",
  statsCompression: "Whether the metrics listener compresses; absent means yes",
  connectionSettings: "Buffers, windows, limits and timeouts of connections; told to the control plane",
};

/** Fields that change nothing, with what follows: a warning where they are set, after "has no effect: ". */
export const FIELDS_WITHOUT_EFFECT: Readonly<Partial<Record<keyof ProxyConfig, string>>> = {
  discoveryRefreshDelay: "neither pilotboat nor Istio's agent reads it",
  zipkinAddress: "no traces are sent there: set tracing.zipkin.address",
  availabilityZone:
    "neither pilotboat nor Istio's agent reads it: set the label topology.istio.io/locality, or what the platform says counts",
  statNameLength: "Envoy no longer has this limit",
  sds: "certificates always come over SDS",
  caCertificatesPem:
    "the agent takes additional roots from the control plane only (PROXY_CONFIG_XDS_AGENT): add them to the file of the root certificate",
};
