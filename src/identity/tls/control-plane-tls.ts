import { getFips } from "node:crypto";
import { join } from "node:path";
import type { SecureContextOptions } from "node:tls";
import {
  AgentError,
  describeError,
  encodeCertificates,
  type Logger,
  parseCertificates,
  readRegularFile,
  type Secret,
  splitHostPort,
  withoutFinalDot,
} from "../../base/index.ts";
import { FIPS_CIPHERS } from "../../istio/index.ts";
import { readKeyPair } from "./key-pair.ts";
import { readSystemRoots, type SystemRoots } from "./os-roots.ts";

/** Roots to trust: those of the operating system, or a file; read anew for each connection. */
export type RootSource =
  | { readonly kind: "system"; readonly places?: SystemRoots }
  | { readonly kind: "file"; readonly path: string };

/** What people set to say which name is verified. */
export type NameSetting = "ISTIOD_SAN" | "CA_ADDR";

/** What one TLS connection to the control plane is made of. */
export interface ControlPlaneTls {
  /** PEM bundle; `system` when this machine has none in a known place and Node's own list has to do. */
  readonly roots: Buffer | "system";
  /** Name to verify, and to send as SNI unless it is an IP address. */
  readonly serverName: string;
  readonly clientCertificate?: { readonly certChain: Buffer; readonly key: Secret };
  /** Versions, ciphers and curves that `COMPLIANCE_POLICY` leaves; at least TLS 1.2. */
  readonly limits: SecureContextOptions;
}

export interface ControlPlaneTlsOptions {
  /** `host:port`. */
  readonly endpoint: string;
  readonly roots: RootSource;
  /** Replaces the name to verify (`ISTIOD_SAN`); empty for none. */
  readonly nameOverride: string;
  /** Files of our own certificate; undefined for none. */
  readonly clientFiles: { readonly certChain: string; readonly key: string } | undefined;
  /** `COMPLIANCE_POLICY`: empty, `fips-140-2`, `fips-140-3` or `pqc`. */
  readonly compliance: string;
  readonly log: Logger;
  readonly now: () => number;
}

/** Istio's port without TLS, for debugging or where the network itself is secure. */
export function isPlaintext(endpoint: string): boolean {
  return endpoint.endsWith(":15010");
}

/**
 * The name that the control plane must prove, without the dot of an absolute name: no certificate has it, and Go's TLS
 * takes it away. Source: istio/istio security/pkg/nodeagent/caclient, pkg/istio-agent.
 */
export function serverNameOf(endpoint: string, override: string): string {
  if (override !== "") return withoutFinalDot(override);
  const split = splitHostPort(endpoint);
  const host = typeof split === "string" ? endpoint : split.host;
  return host.includes("localhost") ? "istiod.istio-system.svc" : withoutFinalDot(host);
}

/**
 * Returns how to read roots and client certificate as they are on disk now; what is used is what was parsed. Rejects with
 * ROOT_CA_UNUSABLE. What is left out is logged once, until something else is.
 */
export function controlPlaneTlsLoader(options: ControlPlaneTlsOptions): () => Promise<ControlPlaneTls> {
  const { endpoint, roots, nameOverride, clientFiles, compliance, now } = options;
  const told = new Map<string, string>();
  const warn: Warn = (topic, message, fields) => {
    const text = JSON.stringify([message, fields]);
    if (message !== "" && told.get(topic) !== text) options.log.warn(message, fields);
    told.set(topic, text);
  };
  return async () => {
    const clientCertificate = clientFiles && (await loadClientCertificate(clientFiles, warn, now()));
    return {
      roots: await loadRoots(roots, warn),
      serverName: serverNameOf(endpoint, nameOverride),
      limits: tlsLimits(compliance),
      ...(clientCertificate === undefined ? {} : { clientCertificate }),
    };
  };
}

/** An empty message: all is well with this topic. */
type Warn = (topic: "roots" | "client certificate", message: string, fields?: Record<string, string>) => void;

async function loadRoots(source: RootSource, warn: Warn): Promise<Buffer | "system"> {
  if (source.kind === "system") return (await readSystemRoots(source.places)) ?? "system";
  const { path } = source;
  const bytes = await readRegularFile(path).catch((cause: unknown) => {
    const text = `Cannot read the root certificate "${path}": ${describeError(cause)}`;
    throw new AgentError("ROOT_CA_UNUSABLE", text, { cause });
  });
  const bad: string[] = [];
  const certificates = parseCertificates(bytes, (reason) => bad.push(reason));
  if (certificates.length === 0) {
    const why = bad.length === 0 ? "" : ` (${bad.join("; ")})`;
    throw new AgentError(
      "ROOT_CA_UNUSABLE",
      `failed to create TLS dial option: no certificate in "${path}", wanted PEM${why}`,
    );
  }
  if (bad.length === 0) warn("roots", "");
  else
    warn("roots", "failed to parse some certs from file, the others are used", { file: path, reasons: bad.join("; ") });
  return Buffer.from(encodeCertificates(certificates, bytes));
}

/** Our certificate if it is usable now; otherwise the token alone has to do, and the log says so. */
async function loadClientCertificate(
  files: { readonly certChain: string; readonly key: string },
  warn: Warn,
  nowMs: number,
): Promise<{ certChain: Buffer; key: Secret } | undefined> {
  const topic = "client certificate";
  try {
    const { leaf, certChain, key } = await readKeyPair(files);
    if (Date.parse(leaf.validTo) <= nowMs) {
      warn(topic, "cert expired, using token instead", { file: files.certChain, notAfter: leaf.validTo });
      return undefined;
    }
    warn(topic, "");
    return { certChain, key };
  } catch (error) {
    const fields = { file: files.certChain, error: describeError(error) };
    warn(topic, "cannot parse the cert chain, using token instead", fields);
    return undefined;
  }
}

/** `PROV_CERT`'s file names. */
export function provisionedFiles(folder: string): { readonly certChain: string; readonly key: string } {
  return { certChain: join(folder, "cert-chain.pem"), key: join(folder, "key.pem") };
}

/**
 * Rejects with CONFIG_INVALID when this runtime's TLS cannot do what `COMPLIANCE_POLICY` asks for. It is tried, not looked up
 * by version: Node has the post-quantum group with OpenSSL 3.5, Bun always.
 */
export async function refuseImpossibleTls(compliance: string): Promise<void> {
  if (compliance === "") return;
  const { createSecureContext } = await import("node:tls"); // a start needs it for this alone
  try {
    createSecureContext(tlsLimits(compliance));
  } catch (error) {
    const { ecdhCurve } = tlsLimits(compliance);
    throw new AgentError("CONFIG_INVALID", `Cannot do COMPLIANCE_POLICY=${compliance}: no TLS with ${ecdhCurve} here`, {
      hint: "Use the executable of pilotboat, or a Node with OpenSSL 3.5 or newer (24 has it)",
      cause: error,
    });
  }
}

export function complianceWarnings(compliance: string): string[] {
  if (compliance !== "fips-140-3" || getFips() === 1) return [];
  return ["COMPLIANCE_POLICY=fips-140-3 limits TLS, but the agent's runtime is not in FIPS mode"];
}

/** Source: istio/istio pkg/security/security.go and pkg/tls (compliance policies). */
function tlsLimits(compliance: string): SecureContextOptions {
  switch (compliance) {
    case "fips-140-2":
      return { minVersion: "TLSv1.2", maxVersion: "TLSv1.2", ciphers: FIPS_CIPHERS, ecdhCurve: "P-256" };
    case "fips-140-3":
      return { minVersion: "TLSv1.2", ciphers: FIPS_CIPHERS, ecdhCurve: "P-256:P-384" };
    case "pqc":
      return {
        minVersion: "TLSv1.3",
        ciphers: "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384",
        ecdhCurve: "X25519MLKEM768",
      };
    default:
      return { minVersion: "TLSv1.2" };
  }
}
