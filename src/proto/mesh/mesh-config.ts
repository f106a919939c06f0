import { PROXY_CONFIG } from "./proxy-config.ts";
import { bool, boolValue, duration, enumOf, int32, json, listOf, message, string, strings } from "./schema.ts";

const TLS_CONFIG = {
  minProtocolVersion: enumOf({ TLS_AUTO: 0, TLSV1_2: 1, TLSV1_3: 2 }),
  ecdhCurves: strings,
  cipherSuites: strings,
} as const;

/**
 * Fields of `istio.mesh.v1alpha1.MeshConfig`. An agent reads `defaultConfig` only; the rest is here so that mistakes in
 * a mesh file are found. Policies and providers of the control plane are taken as they are. Source: istio/api
 * mesh/v1alpha1/config.proto.
 */
export const MESH_CONFIG = {
  proxyListenPort: int32,
  proxyInboundListenPort: int32,
  proxyHttpPort: int32,
  connectTimeout: duration,
  protocolDetectionTimeout: duration,
  tcpKeepalive: json,
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
  configSources: json,
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
  localityLbSetting: json,
  dnsRefreshRate: duration,
  h2UpgradePolicy: enumOf({ DO_NOT_UPGRADE: 0, UPGRADE: 1 }),
  inboundClusterStatName: string,
  outboundClusterStatName: string,
  certificates: json,
  serviceSettings: listOf(message({ settings: message({ clusterLocal: bool }), hosts: strings })),
  enablePrometheusMerge: boolValue,
  verifyCertificateAtClient: boolValue,
  ca: json,
  extensionProviders: json,
  defaultProviders: message({ tracing: strings, metrics: strings, accessLogging: strings }),
  discoverySelectors: json,
  pathNormalization: message({
    normalization: enumOf({ DEFAULT: 0, NONE: 1, BASE: 2, MERGE_SLASHES: 3, DECODE_AND_MERGE_SLASHES: 4 }),
  }),
  defaultHttpRetryPolicy: json,
  defaultTrafficPolicy: json,
  meshMTLS: message(TLS_CONFIG),
  tlsDefaults: message(TLS_CONFIG),
  compliancePolicy: string,
} as const;
