import type { Settings } from "./catalogue.ts";
import { ALL_FLAGS, type ProxyFlags } from "./flags.ts";
import { nearest, type Origin, type Problem } from "./problem.ts";
import { SETTINGS } from "./read-settings.ts";
import type { Setting } from "./setting.ts";

const LEAST_RSA_BITS = 2048;

/**
 * Values that no start can ever come of, alone or together: told here with all the others, before anything starts. The
 * texts of those that the reference also refuses are its own (security/pkg/pki/util, pkg/istio-agent).
 */
export function impossibleSettings(settings: Settings): Problem[] {
  const problems: Problem[] = [];
  const refuse = (name: string, message: string, hint?: string): void => {
    problems.push({ name, origin: { source: name }, message, ...(hint === undefined ? {} : { hint }) });
  };
  const { eccAlgorithm, rsaKeySize, provCert, caProvider, credentialFetcher, workloadSocketFile } = settings;
  if (eccAlgorithm !== "" && eccAlgorithm !== "ECDSA") {
    refuse("ECC_SIGNATURE_ALGORITHM", `unsupported EC signature algorithm "${eccAlgorithm}", wanted ECDSA or nothing`);
  } else if (eccAlgorithm === "" && rsaKeySize < LEAST_RSA_BITS) {
    refuse(
      "WORKLOAD_RSA_KEY_SIZE",
      `${rsaKeySize} does not meet the minimum required size of ${LEAST_RSA_BITS}`,
      "Or set ECC_SIGNATURE_ALGORITHM=ECDSA",
    );
  }
  if (provCert !== "" && settings.isFileMountedCerts) {
    refuse("PROV_CERT", "PROV_CERT and FILE_MOUNTED_CERTS are mutually exclusive");
  }
  if (provCert !== "" && caProvider === "GkeWorkloadCertificate") {
    refuse("PROV_CERT", "PROV_CERT and CA_PROVIDER=GkeWorkloadCertificate are mutually exclusive");
  }
  if (!["", "JWT", "GoogleComputeEngine", "Mock"].includes(credentialFetcher)) {
    const hint = "One of JWT, GoogleComputeEngine, Mock";
    refuse("CREDENTIAL_FETCHER_TYPE", `invalid credential fetcher type ${credentialFetcher}`, hint);
  }
  if (/[/\\]/.test(workloadSocketFile)) {
    refuse("WORKLOAD_IDENTITY_SOCKET_FILE", `"${workloadSocketFile}" must be a filename, not a path`);
  }
  return problems;
}

/** A file that changes leads to a hot restart: to ask for one without the other cannot be meant. */
export function watchWithoutHotRestart(flags: Pick<ProxyFlags, "watch">, settings: Settings): Problem[] {
  if (!flags.watch || settings.isHotRestart) return [];
  const hint = "Add --hot-restart";
  return [{ name: "--watch", origin: { source: "--watch" }, message: "--watch needs hot restart", hint }];
}

/** Without these istiod cannot tell which workload is asking; the reference starts all the same. */
export function missingIdentity({ podNamespace, serviceAccount }: Settings): Problem[] {
  const missing = [
    ...(podNamespace === "" ? ["POD_NAMESPACE"] : []),
    ...(serviceAccount === "" ? ["SERVICE_ACCOUNT"] : []),
  ];
  const message = "is not set; istiod will not be able to match the workload";
  return missing.map((name) => ({ name, origin: { source: name }, message }));
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

/** Variables and flags that are set and not yet listened to. */
export function pendingWords(settings: Settings, origins: ReadonlyMap<string, Origin>): Problem[] {
  const isChanged = (name: string, { parser, default: fallback }: Setting<unknown>): boolean =>
    parser.print(settings[name as keyof Settings]) !== parser.print(fallback);
  const variables = SETTINGS.flatMap(([name, row]) =>
    row.isPending === true && isChanged(name, row) ? (origins.get(row.env) ?? []) : [],
  );
  const flags = ALL_FLAGS.flatMap(({ name, isPending }) =>
    isPending === true ? (origins.get(`--${name}`) ?? []) : [],
  );
  const message = "is set, but pilotboat does not act on it yet";
  return [...variables, ...flags].map((origin) => ({ name: origin.source, origin, message }));
}
