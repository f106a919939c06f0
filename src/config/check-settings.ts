import type { Settings } from "./catalogue.ts";
import { DEFAULT_ORIGIN, type Origin, type Problem } from "./problem.ts";
import { SETTINGS } from "./read-settings.ts";

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

/** Without these istiod cannot tell which workload is asking; the reference starts all the same. */
export function missingIdentity({ podNamespace, serviceAccount }: Settings): Problem[] {
  const missing = [
    ...(podNamespace === "" ? ["POD_NAMESPACE"] : []),
    ...(serviceAccount === "" ? ["SERVICE_ACCOUNT"] : []),
  ];
  const message = "is not set; istiod will not be able to match the workload";
  return missing.map((name) => ({ name, origin: { source: name }, message }));
}

/** Variables that are set and not yet listened to. */
export function pendingSettings(settings: Settings, origins: ReadonlyMap<string, Origin>): Problem[] {
  const set = SETTINGS.filter(
    ([name, row]) =>
      row.isPending === true &&
      origins.get(row.env) !== DEFAULT_ORIGIN &&
      settings[name as keyof Settings] !== row.default,
  );
  const message = "is set, but pilotboat does not act on it yet";
  return set.map(([, { env }]) => ({ name: env, origin: origins.get(env) ?? DEFAULT_ORIGIN, message }));
}
