import { PROXY_CONFIG } from "./proxy-config.ts";
import {
  bool,
  boolValue,
  duration,
  enumOf,
  int32,
  json,
  listOf,
  type MessageOf,
  mapOf,
  message,
  string,
  strings,
  uint32,
} from "./schema.ts";

const TLS_CONFIG = {
  minProtocolVersion: enumOf({ TLS_AUTO: 0, TLSV1_2: 1, TLSV1_3: 2 }),
  ecdhCurves: strings,
  cipherSuites: strings,
} as const;

const TCP_KEEPALIVE = message({ probes: uint32, time: duration, interval: duration });
const H2_UPGRADE = enumOf({ DEFAULT: 0, DO_NOT_UPGRADE: 1, UPGRADE: 2 });

/** Source: istio/api networking/v1alpha3/destination_rule.proto. */
const LOCALITY_LB = {
  distribute: listOf(message({ from: string, to: mapOf(uint32) })),
  failover: listOf(message({ from: string, to: string })),
  failoverPriority: strings,
  enabled: boolValue,
} as const;

const CONNECTION_POOL = {
  tcp: message({
    maxConnections: int32,
    connectTimeout: duration,
    tcpKeepalive: TCP_KEEPALIVE,
    maxConnectionDuration: duration,
    idleTimeout: duration,
  }),
  http: message({
    http1MaxPendingRequests: int32,
    http2MaxRequests: int32,
    maxRequestsPerConnection: int32,
    maxRetries: int32,
    idleTimeout: duration,
    h2UpgradePolicy: H2_UPGRADE,
    useClientProtocol: bool,
    maxConcurrentStreams: int32,
  }),
} as const;

const TRAFFIC_POLICY = {
  loadBalancer: json,
  connectionPool: message(CONNECTION_POOL),
  outlierDetection: json,
  tls: json,
  portLevelSettings: json,
  tunnel: json,
  proxyProtocol: json,
  retryBudget: json,
} as const;

/**
 * Fields of `istio.mesh.v1alpha1.MeshConfig`. An agent reads `defaultConfig` only; the rest is here so that mistakes in
 * a mesh file are found. What is deep inside the control plane's own providers and policies is taken as it is. Source: istio/api
 * mesh/v1alpha1/config.proto.
 */
export const MESH_CONFIG = {
  proxyListenPort: int32,
  proxyInboundListenPort: int32,
  proxyHttpPort: int32,
  connectTimeout: duration,
  protocolDetectionTimeout: duration,
  tcpKeepalive: TCP_KEEPALIVE,
  ingressClass: string,
  ingressService: string,
  ingressControllerMode: enumOf({ UNSPECIFIED: 0, OFF: 1, DEFAULT: 2, STRICT: 3 }),
  ingressSelector: string,
  enableTracing: bool,
  accessLogFile: string,
  accessLogFormat: string,
  accessLogEncoding: enumOf({ TEXT: 0, JSON: 1 }),
  enableEnvoyAccessLogService: bool,
  disableEnvoyListenerLog: bool,
  defaultConfig: message(PROXY_CONFIG),
  outboundTrafficPolicy: message({ mode: enumOf({ REGISTRY_ONLY: 0, ALLOW_ANY: 1 }) }),
  inboundTrafficPolicy: message({ mode: enumOf({ PASSTHROUGH: 0, LOCALHOST: 1 }) }),
  configSources: listOf(json),
  enableAutoMtls: boolValue,
  trustDomain: string,
  trustDomainAliases: strings,
  caCertificates: listOf(
    message({ pem: string, spiffeBundleUrl: string, certSigners: strings, trustDomains: strings }),
  ),
  defaultServiceExportTo: strings,
  defaultVirtualServiceExportTo: strings,
  defaultDestinationRuleExportTo: strings,
  rootNamespace: string,
  localityLbSetting: message(LOCALITY_LB),
  dnsRefreshRate: duration,
  h2UpgradePolicy: enumOf({ DO_NOT_UPGRADE: 0, UPGRADE: 1 }),
  inboundClusterStatName: string,
  outboundClusterStatName: string,
  certificates: listOf(json),
  serviceSettings: listOf(message({ settings: message({ clusterLocal: bool }), hosts: strings })),
  enablePrometheusMerge: boolValue,
  verifyCertificateAtClient: boolValue,
  ca: json,
  extensionProviders: listOf(json),
  defaultProviders: message({ tracing: strings, metrics: strings, accessLogging: strings }),
  discoverySelectors: listOf(json),
  pathNormalization: message({
    normalization: enumOf({ DEFAULT: 0, NONE: 1, BASE: 2, MERGE_SLASHES: 3, DECODE_AND_MERGE_SLASHES: 4 }),
  }),
  defaultHttpRetryPolicy: json,
  defaultTrafficPolicy: message(TRAFFIC_POLICY),
  meshMTLS: message(TLS_CONFIG),
  tlsDefaults: message(TLS_CONFIG),
  compliancePolicy: string,
} as const;

export type MeshConfig = MessageOf<typeof MESH_CONFIG>;
