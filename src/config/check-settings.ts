import { HIDDEN, nearest } from "../base/index.ts";
import { isSecretName, refusedKey, refusedProvCert, refusedSocketName } from "../istio/index.ts";
import { type MetadataWords, readRawMetadata, typedTroubles } from "../istio/metadata/index.ts";
import type { Settings } from "./catalogue.ts";
import type { ProxyFlags } from "./flags.ts";
import { mismatch, type Problem } from "./problem.ts";

/**
 * Values that no start can ever come of, alone or together: told here with all the others, before anything starts. The
 * texts of those that the reference also refuses are its own (security/pkg/pki/util, pkg/istio-agent).
 */
export function impossibleSettings(settings: Settings): Problem[] {
  const problems: Problem[] = [];
  const refuse = (name: string, message: string, hint?: string): void => {
    problems.push({ name, origin: { source: name }, message, ...(hint === undefined ? {} : { hint }) });
  };
  const { credentialFetcher, workloadSocketFile } = settings;
  for (const word of [refusedKey(settings), refusedProvCert(settings), refusedSocketName(workloadSocketFile)]) {
    if (word !== undefined) refuse(word.name, word.message, word.hint);
  }
  if (!["", "JWT", "GoogleComputeEngine", "Mock"].includes(credentialFetcher)) {
    const hint = "One of JWT, GoogleComputeEngine, Mock";
    refuse("CREDENTIAL_FETCHER_TYPE", `invalid credential fetcher type ${credentialFetcher}`, hint);
  }
  for (const [name, port] of listenerPorts(settings)) {
    if (port < 0 || port > MOST_PORT) refuse(name, `port number ${port} must be in the range 0..${MOST_PORT}`);
  }
  return problems;
}

const MOST_PORT = 65_535;

/** Envoy takes 0 for any free port, or we for no listener. */
function listenerPorts(settings: Settings): (readonly [name: string, port: number])[] {
  return [
    ["ENVOY_STATUS_PORT", settings.envoyStatusPort],
    ["ENVOY_PROMETHEUS_PORT", settings.envoyPrometheusPort],
    ["ENVOY_SECURE_METRICS_PORT", settings.secureMetricsPort],
    ["ENVOY_SECURE_MERGED_METRICS_PORT", settings.secureMergedMetricsPort],
  ];
}

/** Typed node metadata of another type, by the variable or entry that it comes from. */
export function impossibleMetadata(words: MetadataWords): Problem[] {
  return typedTroubles(readRawMetadata(words, [])).map(({ key, from, found, wanted }) => ({
    name: from,
    origin: { source: from },
    ...mismatch(isSecretName(key) ? HIDDEN : found, `${wanted} for metadata ${key}`),
  }));
}

/** A file that changes leads to a hot restart: to ask for one without the other cannot be meant. */
export function watchWithoutHotRestart(flags: Pick<ProxyFlags, "watch">, settings: Settings): Problem[] {
  if (!flags.watch || settings.isHotRestart) return [];
  const hint = "Add --hot-restart";
  return [{ name: "--watch", origin: { source: "--watch" }, message: "--watch needs hot restart", hint }];
}

interface NamespaceWords {
  readonly metadata: MetadataWords;
  /** `POD_NAMESPACE`, where it is set: also an empty one then beats the metadata. */
  readonly podNamespace: string | undefined;
  /** `--domain`. */
  readonly domain: string;
}

/**
 * Without a namespace istiod still accepts the token, and then applies nothing that is meant for one namespace. A missing
 * SERVICE_ACCOUNT costs nothing: the token carries it. Source: istio/istio pilot/pkg/model/context.go
 * (GetProxyConfigNamespace), pilot/pkg/xds/auth.go (checkConnectionIdentity).
 */
export function missingNamespace({ metadata, podNamespace, domain }: NamespaceWords): Problem[] {
  const named = podNamespace ?? readRawMetadata(metadata, []).get("NAMESPACE")?.value ?? "";
  const [ofDomain = "", ...more] = domain.split(".");
  if (named !== "" || (more.length > 0 && ofDomain !== "")) return [];
  const name = "POD_NAMESPACE";
  const message = "no namespace is set: istiod will leave out every policy and setting of a single namespace";
  return [{ name, origin: { source: name }, message, hint: "Set POD_NAMESPACE, or ISTIO_META_NAMESPACE" }];
}

const COMPLIANCE_POLICIES = ["fips-140-2", "fips-140-3", "pqc"];

/** Words without the effect that somebody may expect of them. Source: istio/istio pilot/cmd/pilot-agent/options, pkg/security. */
export function wordsWithoutEffect({ compliancePolicy, jwtPolicy }: Settings): Problem[] {
  const warnings: Problem[] = [];
  const warn = (name: string, message: string, rest: Partial<Problem> = {}): void =>
    void warnings.push({ name, origin: { source: name }, message, ...rest });
  if (compliancePolicy !== "" && !COMPLIANCE_POLICIES.includes(compliancePolicy)) {
    const close = nearest(compliancePolicy, COMPLIANCE_POLICIES);
    const wanted = `one of ${COMPLIANCE_POLICIES.join(", ")}`;
    warn("COMPLIANCE_POLICY", `"${compliancePolicy}" is unknown and restricts nothing, wanted ${wanted}`, {
      found: compliancePolicy,
      wanted,
      ...(close === undefined ? {} : { hint: `Did you mean "${close}"?` }),
    });
  }
  if (jwtPolicy === "first-party-jwt") {
    warn("JWT_POLICY", "first-party-jwt is deprecated and means third-party-jwt");
  } else if (jwtPolicy !== "third-party-jwt") {
    warn("JWT_POLICY", `Using existing certs, but the token is sent all the same: "${jwtPolicy}" has no effect`);
  }
  return warnings;
}
