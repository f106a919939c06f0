import {
  bool,
  boolValue,
  double,
  duration,
  enumOf,
  int32,
  int32Value,
  int64Value,
  listOf,
  type MessageOf,
  mapOf,
  message,
  oneof,
  string,
  stringMap,
  strings,
  uint32,
} from "./schema.ts";

// Fields and their order: istio/api mesh/v1alpha1/proxy.proto and config.proto, networking/v1alpha3.

const FORWARD_CLIENT_CERT = enumOf({
  UNDEFINED: 0,
  SANITIZE: 1,
  FORWARD_ONLY: 2,
  APPEND_FORWARD: 3,
  SANITIZE_SET: 4,
  ALWAYS_FORWARD_ONLY: 5,
});

const CLIENT_TLS_SETTINGS = {
  mode: enumOf({ DISABLE: 0, SIMPLE: 1, MUTUAL: 2, ISTIO_MUTUAL: 3 }),
  clientCertificate: string,
  privateKey: string,
  caCertificates: string,
  credentialName: string,
  subjectAltNames: strings,
  sni: string,
  insecureSkipVerify: boolValue,
  caCrl: string,
} as const;

const REMOTE_SERVICE = {
  address: string,
  tlsSettings: message(CLIENT_TLS_SETTINGS),
  tcpKeepalive: message({ probes: uint32, time: duration, interval: duration }),
} as const;

const ADDRESS = { address: string } as const;
const NAME_OR_DEFAULT = { name: string, defaultValue: string } as const;

const TRACING = {
  zipkin: oneof("tracer", message(ADDRESS)),
  lightstep: oneof("tracer", message({ address: string, accessToken: string })),
  datadog: oneof("tracer", message(ADDRESS)),
  stackdriver: oneof(
    "tracer",
    message({
      debug: bool,
      maxNumberOfAttributes: int64Value,
      maxNumberOfAnnotations: int64Value,
      maxNumberOfMessageEvents: int64Value,
    }),
  ),
  openCensusAgent: oneof(
    "tracer",
    message({
      address: string,
      context: listOf(enumOf({ UNSPECIFIED: 0, W3C_TRACE_CONTEXT: 1, GRPC_BIN: 2, CLOUD_TRACE_CONTEXT: 3, B3: 4 })),
    }),
  ),
  customTags: mapOf(
    message({
      literal: oneof("type", message({ value: string })),
      environment: oneof("type", message(NAME_OR_DEFAULT)),
      header: oneof("type", message(NAME_OR_DEFAULT)),
    }),
  ),
  maxPathTagLength: uint32,
  sampling: double,
  tlsSettings: message(CLIENT_TLS_SETTINGS),
  enableIstioTags: boolValue,
} as const;

const READINESS_PROBE = {
  initialDelaySeconds: int32,
  timeoutSeconds: int32,
  periodSeconds: int32,
  successThreshold: int32,
  failureThreshold: int32,
  httpGet: oneof(
    "healthCheckMethod",
    message({
      path: string,
      port: uint32,
      host: string,
      scheme: string,
      httpHeaders: listOf(message({ name: string, value: string })),
    }),
  ),
  tcpSocket: oneof("healthCheckMethod", message({ host: string, port: uint32 })),
  exec: oneof("healthCheckMethod", message({ command: strings })),
  grpc: oneof("healthCheckMethod", message({ port: uint32, service: string })),
} as const;

const KEY_METHOD = { pollDelay: duration, fallback: boolValue } as const;
const DISABLED = { disabled: boolValue } as const;
const ENABLED = { enabled: boolValue } as const;

const PROXY_HEADERS = {
  forwardedClientCert: FORWARD_CLIENT_CERT,
  setCurrentClientCertDetails: message({
    subject: boolValue,
    cert: boolValue,
    chain: boolValue,
    dns: boolValue,
    uri: boolValue,
  }),
  requestId: message(DISABLED),
  server: message({ disabled: boolValue, value: string }),
  attemptCount: message(DISABLED),
  envoyDebugHeaders: message(DISABLED),
  metadataExchangeHeaders: message({ mode: enumOf({ UNDEFINED: 0, IN_MESH: 1 }) }),
  preserveHttp1HeaderCase: boolValue,
  xForwardedHost: message(ENABLED),
  xForwardedPort: message(ENABLED),
} as const;

const CONNECTION_SETTINGS = {
  profile: enumOf({ SIDECAR: 0, EDGE: 1 }),
  listenerPerConnectionBufferLimitBytes: int32Value,
  clusterPerConnectionBufferLimitBytes: int32Value,
  httpIdleTimeout: duration,
  httpMaxConnectionDuration: duration,
  httpDrainTimeout: duration,
  httpRequestTimeout: duration,
  httpRequestHeadersTimeout: duration,
  httpStreamIdleTimeout: duration,
  httpMaxStreamDuration: duration,
  httpMaxConcurrentStreams: int32Value,
  http2InitialStreamWindowSize: int32Value,
  http2InitialConnectionWindowSize: int32Value,
  httpHeadersWithUnderscoresAction: enumOf({
    HEADERS_WITH_UNDERSCORES_UNSPECIFIED: 0,
    HEADERS_WITH_UNDERSCORES_ALLOW: 1,
    HEADERS_WITH_UNDERSCORES_REJECT_REQUEST: 2,
    HEADERS_WITH_UNDERSCORES_DROP_HEADER: 3,
  }),
  httpMergeSlashes: boolValue,
  httpPathWithEscapedSlashesAction: enumOf({
    PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED: 0,
    KEEP_UNCHANGED: 1,
    REJECT_REQUEST: 2,
    UNESCAPE_AND_REDIRECT: 3,
    UNESCAPE_AND_FORWARD: 4,
  }),
  listenerConnectionLimit: int32Value,
  globalDownstreamConnectionLimit: int32Value,
} as const;

/** Every field of `istio.mesh.v1alpha1.ProxyConfig`. */
export const PROXY_CONFIG = {
  configPath: string,
  binaryPath: string,
  serviceCluster: oneof("clusterName", string),
  tracingServiceName: oneof(
    "clusterName",
    enumOf({ APP_LABEL_AND_NAMESPACE: 0, CANONICAL_NAME_ONLY: 1, CANONICAL_NAME_AND_NAMESPACE: 2 }),
  ),
  drainDuration: duration,
  discoveryAddress: string,
  discoveryRefreshDelay: duration,
  zipkinAddress: string,
  statsdUdpAddress: string,
  envoyMetricsServiceAddress: string,
  proxyAdminPort: int32,
  availabilityZone: string,
  controlPlaneAuthPolicy: enumOf({ NONE: 0, MUTUAL_TLS: 1, INHERIT: 1000 }),
  customConfigFile: string,
  statNameLength: int32,
  concurrency: int32Value,
  proxyBootstrapTemplatePath: string,
  interceptionMode: enumOf({ REDIRECT: 0, TPROXY: 1, NONE: 2 }),
  tracing: message(TRACING),
  sds: message({ enabled: bool, k8sSaJwtPath: string }),
  envoyAccessLogService: message(REMOTE_SERVICE),
  envoyMetricsService: message(REMOTE_SERVICE),
  proxyMetadata: stringMap,
  statusPort: int32,
  extraStatTags: strings,
  gatewayTopology: message({
    numTrustedProxies: uint32,
    forwardClientCertDetails: FORWARD_CLIENT_CERT,
    proxyProtocol: message({}),
  }),
  terminationDrainDuration: duration,
  meshId: string,
  readinessProbe: message(READINESS_PROBE),
  proxyStatsMatcher: message({ inclusionPrefixes: strings, inclusionSuffixes: strings, inclusionRegexps: strings }),
  holdApplicationUntilProxyStarts: boolValue,
  caCertificatesPem: strings,
  image: message({ imageType: string }),
  privateKeyProvider: message({
    cryptomb: oneof("provider", message(KEY_METHOD)),
    qat: oneof("provider", message(KEY_METHOD)),
  }),
  proxyHeaders: message(PROXY_HEADERS),
  runtimeValues: stringMap,
  fileFlushInterval: duration,
  fileFlushMinSizeKb: uint32,
  statsCompression: boolValue,
  connectionSettings: message(CONNECTION_SETTINGS),
} as const;

/** What a proxy is told about itself: the effective value after all overlays. */
export type ProxyConfig = MessageOf<typeof PROXY_CONFIG>;
export type ClientTlsSettings = MessageOf<typeof CLIENT_TLS_SETTINGS>;
export type RemoteService = MessageOf<typeof REMOTE_SERVICE>;
