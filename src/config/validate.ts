import type { DurationNs } from "../base/index.ts";
import { type ClientTlsSettings, type ProxyConfig, protoName } from "../istio/mesh/index.ts";
import { addressTrouble, portTrouble } from "./addresses.ts";

/** A problem of the effective configuration, by the path of the field. */
export interface Finding {
  readonly path: readonly string[];
  readonly message: string;
}

const MS: DurationNs = 1_000_000n;
const SECOND: DurationNs = 1_000_000_000n;

/**
 * Everything that is wrong with an effective ProxyConfig, in the order and words of the reference.
 * Source: istio/istio pkg/config/validation/agent/validation.go (ValidateMeshConfigProxyConfig).
 */
export function validateProxyConfig(config: ProxyConfig): readonly Finding[] {
  const findings: Finding[] = [];
  const refuse = (path: string, message: string | undefined): void => {
    if (message !== undefined) findings.push({ path: path.split("."), message });
  };
  if (config.configPath === "") refuse("configPath", "config path must be set");
  if (config.binaryPath === "") refuse("binaryPath", "binary path must be set");
  if (config.serviceCluster === "") refuse("serviceCluster", "service cluster must be specified");
  if (config.serviceCluster === undefined && config.tracingServiceName === undefined) {
    refuse("serviceCluster", "oneof service cluster or tracing service name must be specified");
  }
  for (const message of drainTroubles(config.drainDuration)) refuse("drainDuration", message);
  refuse("discoveryAddress", discoveryTrouble(config.discoveryAddress));
  validateTracing(config, refuse);
  validateServices(config, refuse);
  refuse("proxyAdminPort", prefixed("invalid proxy admin port", portTrouble(config.proxyAdminPort)));
  if (config.controlPlaneAuthPolicy !== "NONE" && config.controlPlaneAuthPolicy !== "MUTUAL_TLS") {
    const found = config.controlPlaneAuthPolicy;
    refuse(
      "controlPlaneAuthPolicy",
      `invalid authentication policy: unrecognized control plane auth policy "${found}"`,
    );
  }
  refuse("statusPort", prefixed("invalid status port", portTrouble(config.statusPort)));
  for (const message of keyProviderTroubles(config)) refuse("privateKeyProvider", message);
  validateConnections(config, refuse);
  return findings;
}

type Refuse = (path: string, message: string | undefined) => void;

function drainTroubles(drain: DurationNs | undefined): string[] {
  const ns = drain ?? 0n;
  if (ns < MS) return ["invalid drain duration: duration must be greater than 1ms"];
  if (ns % MS !== 0n) return ["invalid drain duration: only durations to ms precision are supported"];
  return ns % SECOND === 0n ? [] : ["drain time only supports durations to seconds precision"];
}

/** Why this is no address of a control plane, in the reference's words; undefined when it is one. */
export function discoveryTrouble(address: string): string | undefined {
  if (address === "") return "discovery address must be set to the proxy discovery service";
  return prefixed("invalid discovery address", addressTrouble(address));
}

function validateTracing({ tracing }: ProxyConfig, refuse: Refuse): void {
  if (tracing === undefined) return;
  const { lightstep, zipkin, datadog, tlsSettings } = tracing;
  if (lightstep !== undefined) {
    const where = "tracing.lightstep";
    if (lightstep.address === "") refuse(where, "invalid lightstep config: address is required");
    refuse(where, prefixed("invalid lightstep config: invalid lightstep address", addressTrouble(lightstep.address)));
    if (lightstep.accessToken === "") refuse(where, "invalid lightstep config: access token is required");
  }
  if (zipkin !== undefined) {
    refuse("tracing.zipkin.address", prefixed("invalid zipkin config", addressTrouble(withHostIp(zipkin.address))));
  }
  if (datadog !== undefined) {
    refuse("tracing.datadog.address", prefixed("invalid datadog config", addressTrouble(withHostIp(datadog.address))));
  }
  if (tlsSettings !== undefined) {
    for (const message of tlsTroubles(tlsSettings))
      refuse("tracing.tlsSettings", `invalid tracing TLS config: ${message}`);
  }
}

/** The address that is not known before the start is checked as if it were this one. */
function withHostIp(address: string): string {
  return address.replace("$(HOST_IP)", "127.0.0.1");
}

function validateServices(config: ProxyConfig, refuse: Refuse): void {
  const check = (path: string, address: string, text: string): void => {
    if (address !== "") refuse(path, prefixed(`invalid ${text} "${address}"`, addressTrouble(address)));
  };
  check("statsdUdpAddress", config.statsdUdpAddress, "statsd udp address");
  check("envoyMetricsServiceAddress", config.envoyMetricsServiceAddress, "envoy metrics service address");
  check("envoyMetricsService.address", config.envoyMetricsService?.address ?? "", "envoy metrics service address");
  check(
    "envoyAccessLogService.address",
    config.envoyAccessLogService?.address ?? "",
    "envoy access log service address",
  );
}

/**
 * Why the name cannot be one of a ConfigMap: only resources that have a namespace can name one, and a ProxyConfig has none.
 * Source: istio/istio pilot/pkg/model/credentials/resource.go (ParseResourceName).
 */
function configMapTrouble(credentialName: string): string | undefined {
  if (!credentialName.startsWith(CONFIG_MAP)) return undefined;
  const [namespace, name] = credentialName.slice(CONFIG_MAP.length).split("/");
  const wrong = `invalid resource name ${JSON.stringify(credentialName)}. Expected`;
  if (name === undefined) return `${wrong} namespace and name`;
  if (namespace === "") return `${wrong} namespace`;
  return name === "" ? `${wrong} name` : 'namespace must match the configuration namespace ""';
}

const CONFIG_MAP = "configmap://";

function tlsTroubles(tls: ClientTlsSettings): string[] {
  const troubles: string[] = [];
  const configMap = configMapTrouble(tls.credentialName);
  if (configMap !== undefined) troubles.push(`invalid configmap:// credentialName: ${configMap}`);
  const isVerifying = tls.mode === "SIMPLE" || tls.mode === "MUTUAL";
  const files = [tls.clientCertificate, tls.privateKey, tls.caCertificates, tls.caCrl];
  if (isVerifying && tls.credentialName !== "" && files.some((file) => file !== "")) {
    troubles.push("cannot specify client certificates or CA certificate or CA CRL If credentialName is set");
  }
  if (tls.mode === "MUTUAL" && tls.credentialName === "") {
    if (tls.clientCertificate === "") troubles.push("client certificate required for mutual tls");
    if (tls.privateKey === "") troubles.push("private key required for mutual tls");
  }
  if (tls.insecureSkipVerify !== true) return troubles;
  const hasNames = tls.subjectAltNames.length > 0;
  if (tls.mode === "SIMPLE" && (tls.caCertificates !== "" || tls.credentialName !== "" || hasNames)) {
    troubles.push(
      "cannot specify CaCertificates or CredentialName or SubjectAltNames when InsecureSkipVerify is set true",
    );
  }
  if (tls.mode === "MUTUAL" && (tls.caCertificates !== "" || hasNames)) {
    troubles.push("cannot specify CaCertificates or SubjectAltNames when InsecureSkipVerify is set true");
  }
  return troubles;
}

function keyProviderTroubles({ privateKeyProvider }: ProxyConfig): string[] {
  if (privateKeyProvider === undefined) return [];
  const prefix = "invalid private key provider configuration:";
  const method = privateKeyProvider.cryptomb ?? privateKeyProvider.qat;
  if (method === undefined) {
    return [`${prefix} private key provider configuration is required`, `${prefix} unknown private key provider`];
  }
  if (method.pollDelay === undefined) return [`${prefix} pollDelay is required`];
  return method.pollDelay === 0n ? [`${prefix} pollDelay must be non zero`] : [];
}

const NON_NEGATIVE = [
  "listenerPerConnectionBufferLimitBytes",
  "clusterPerConnectionBufferLimitBytes",
  "httpIdleTimeout",
  "httpMaxConnectionDuration",
  "httpDrainTimeout",
  "httpRequestTimeout",
  "httpRequestHeadersTimeout",
  "httpStreamIdleTimeout",
  "httpMaxStreamDuration",
] as const;
const POSITIVE = ["httpMaxConcurrentStreams", "listenerConnectionLimit", "globalDownstreamConnectionLimit"] as const;
const WINDOWS = ["http2InitialStreamWindowSize", "http2InitialConnectionWindowSize"] as const;
const LEAST_WINDOW = 65_535;

function validateConnections({ connectionSettings: settings }: ProxyConfig, refuse: Refuse): void {
  if (settings === undefined) return;
  const check = (name: keyof typeof settings, least: number, text: string): void => {
    const value = settings[name];
    if (value === undefined || Number(value) >= least) return;
    refuse(`connectionSettings.${name}`, `invalid connection settings: ${protoName(name)} must be ${text}`);
  };
  for (const name of NON_NEGATIVE) check(name, 0, "non-negative");
  for (const name of POSITIVE) check(name, 1, "positive");
  for (const name of WINDOWS) check(name, LEAST_WINDOW, `at least ${LEAST_WINDOW}`);
}

function prefixed(prefix: string, trouble: string | undefined): string | undefined {
  return trouble === undefined ? undefined : `${prefix}: ${trouble}`;
}
