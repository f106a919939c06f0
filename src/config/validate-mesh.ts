import type { DurationNs } from "../base/index.ts";
import { portTrouble } from "./addresses.ts";
import type { Finding } from "./validate.ts";

const MS: DurationNs = 1_000_000n;
const HOUR: DurationNs = 3_600_000_000_000n;
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/i;
const LABEL_LIMIT = 63;

type Present = Readonly<Record<string, unknown>>;

/**
 * What is wrong with the fields of a mesh file outside `defaultConfig`. Of what is the control plane's own, the numbers of
 * connection pools and the weights of localities are looked at, retries and outlier detection are not. Source: istio/istio pkg/config/validation/agent/validation.go
 * (ValidateMeshConfig).
 */
export function validateMeshConfig(mesh: Present): readonly Finding[] {
  const findings: Finding[] = [];
  const refuse = (path: string, message: string | undefined): void => {
    if (message !== undefined) findings.push({ path: path.split("."), message });
  };
  refuse("proxyListenPort", prefixed("invalid proxy listen port", portOf(mesh.proxyListenPort)));
  refuse("connectTimeout", prefixed("invalid connect timeout", connectTrouble(mesh.connectTimeout)));
  refuse(
    "protocolDetectionTimeout",
    prefixed("invalid protocol detection timeout", msTrouble(mesh.protocolDetectionTimeout)),
  );
  if (typeof mesh.trustDomain === "string") refuse("trustDomain", domainTrouble(mesh.trustDomain));
  for (const alias of listOf(mesh.trustDomainAliases)) refuse("trustDomainAliases", domainTrouble(String(alias)));
  for (const { hosts } of listOf(mesh.serviceSettings) as readonly { readonly hosts?: unknown }[]) {
    for (const host of listOf(hosts)) refuse("serviceSettings", wildcardTrouble(String(host)));
  }
  const { ecdhCurves } = (mesh.meshMTLS ?? {}) as { readonly ecdhCurves?: unknown };
  if (listOf(ecdhCurves).length > 0) {
    refuse("meshMTLS.ecdhCurves", "mesh TLS does not support ECDH curves configuration");
  }
  for (const message of localityTroubles(objectOf(mesh.localityLbSetting))) refuse("localityLbSetting", message);
  for (const message of poolTroubles(objectOf(objectOf(mesh.defaultTrafficPolicy).connectionPool))) {
    refuse("defaultTrafficPolicy.connectionPool", message);
  }
  return findings;
}

function localityTroubles({ distribute, failover, failoverPriority }: Present): string[] {
  const entries = listOf(distribute) as readonly { readonly from: string; readonly to: Present }[];
  const troubles: string[] = [];
  if (entries.length > 0 && listOf(failover).length > 0) {
    troubles.push("can not simultaneously specify 'distribute' and 'failover'");
  }
  if (entries.length > 0 && listOf(failoverPriority).length > 0) {
    troubles.push("can not simultaneously specify 'distribute' and 'failoverPriority'");
  }
  for (const { to } of entries) {
    const weights = Object.values(to).map(Number);
    if (weights.some((weight) => weight < 1 || weight > 100))
      troubles.push("locality weight must be in range [1, 100]");
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    if (total !== 100) troubles.push(`total locality weight ${total} != 100`);
  }
  return troubles;
}

const POOL_NUMBERS = [
  ["tcp", "maxConnections", "max connections"],
  ["http", "http1MaxPendingRequests", "http1 max pending requests"],
  ["http", "http2MaxRequests", "http2 max requests"],
  ["http", "maxRequestsPerConnection", "max requests per connection"],
  ["http", "maxRetries", "max retries"],
  ["http", "maxConcurrentStreams", "max concurrent streams"],
] as const;
const POOL_TIMES = [
  ["tcp", "connectTimeout"],
  ["tcp", "maxConnectionDuration"],
  ["tcp", "idleTimeout"],
  ["http", "idleTimeout"],
] as const;

function poolTroubles(pool: Present): string[] {
  const numbers = POOL_NUMBERS.filter(([part, field]) => Number(objectOf(pool[part])[field] ?? 0) < 0);
  const times = POOL_TIMES.flatMap(([part, field]) => {
    const trouble = durationTrouble(objectOf(pool[part])[field]);
    return trouble === undefined ? [] : [`${part}.${field}: ${trouble}`];
  });
  return [...numbers.map(([, , text]) => `${text} must be non-negative`), ...times];
}

function objectOf(value: unknown): Present {
  return typeof value === "object" && value !== null ? (value as Present) : {};
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function portOf(port: unknown): string | undefined {
  return typeof port === "number" ? portTrouble(port) : undefined;
}

function connectTrouble(timeout: unknown): string | undefined {
  const isLong = typeof timeout === "bigint" && timeout > HOUR;
  return durationTrouble(timeout) ?? (isLong ? "duration must be at most 1h0m0s" : undefined);
}

function durationTrouble(duration: unknown): string | undefined {
  if (typeof duration !== "bigint") return undefined;
  return duration < MS ? "duration must be greater than 1ms" : msTrouble(duration);
}

function msTrouble(timeout: unknown): string | undefined {
  const isWhole = typeof timeout !== "bigint" || timeout % MS === 0n;
  return isWhole ? undefined : "only durations to ms precision are supported";
}

function domainTrouble(domain: string): string | undefined {
  const isName =
    domain !== "" && domain.split(".").every((label) => label.length <= LABEL_LIMIT && DNS_LABEL.test(label));
  return isName ? undefined : `trustDomain: found "${domain}", wanted DNS labels with dots between them`;
}

function wildcardTrouble(host: string): string | undefined {
  const rest = host.replace(/^\*\.?/, "");
  const isName = host === "*" || (rest !== "" && domainTrouble(rest) === undefined);
  return isName ? undefined : `found host "${host}", wanted a domain name, "*" allowed at its beginning`;
}

function prefixed(prefix: string, trouble: string | undefined): string | undefined {
  return trouble === undefined ? undefined : `${prefix}: ${trouble}`;
}
