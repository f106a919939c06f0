import type { DurationNs } from "../base/index.ts";
import { portTrouble } from "./addresses.ts";
import type { Finding } from "./validate.ts";

const MS: DurationNs = 1_000_000n;
const HOUR: DurationNs = 3_600_000_000_000n;
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/i;
const LABEL_LIMIT = 63;

type Present = Readonly<Record<string, unknown>>;

/**
 * What is wrong with the fields of a mesh file outside `defaultConfig`. Load balancing, traffic and retry policies are
 * the control plane's own and are not looked at. Source: istio/istio pkg/config/validation/agent/validation.go
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
  return findings;
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function portOf(port: unknown): string | undefined {
  return typeof port === "number" ? portTrouble(port) : undefined;
}

function connectTrouble(timeout: unknown): string | undefined {
  if (typeof timeout !== "bigint") return undefined;
  if (timeout < MS) return "duration must be greater than 1ms";
  return msTrouble(timeout) ?? (timeout > HOUR ? "duration must be at most 1h0m0s" : undefined);
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
