import { basename } from "node:path";

// Rules about words that two rooms must agree on: the configuration tells a mistake with all others, and the room that
// acts on the word would refuse it as well.

/** A word that cannot be used; the message does not repeat the name. */
export interface RefusedWord {
  readonly name: string;
  readonly message: string;
  readonly hint?: string;
}

const LEAST_RSA_BITS = 2048;
/** What the TLS libraries of Envoy and Node take: OPENSSL_RSA_MAX_MODULUS_BITS. */
const MOST_RSA_BITS = 16_384;

/** Source: istio/istio security/pkg/pki/util/generate_csr.go; the upper limit is ours. */
export function refusedKey(words: {
  readonly rsaKeySize: number;
  readonly eccAlgorithm: string;
}): RefusedWord | undefined {
  const { rsaKeySize: bits, eccAlgorithm } = words;
  if (eccAlgorithm === "ECDSA") return undefined;
  if (eccAlgorithm !== "") {
    const message = `unsupported EC signature algorithm "${eccAlgorithm}", wanted ECDSA or nothing`;
    return { name: "ECC_SIGNATURE_ALGORITHM", message };
  }
  const [name, hint] = ["WORKLOAD_RSA_KEY_SIZE", "Or set ECC_SIGNATURE_ALGORITHM=ECDSA"];
  if (!Number.isInteger(bits) || bits < LEAST_RSA_BITS) {
    return { name, hint, message: `${bits} does not meet the minimum required size of ${LEAST_RSA_BITS}` };
  }
  if (bits <= MOST_RSA_BITS) return undefined;
  return { name, hint, message: `${bits} is more than the ${MOST_RSA_BITS} bits that TLS libraries take` };
}

/** Source: istio/istio pkg/istio-agent/agent.go. */
export function refusedSocketName(fileName: string): RefusedWord | undefined {
  if (!["", ".", ".."].includes(fileName) && basename(fileName) === fileName) return undefined;
  return { name: "WORKLOAD_IDENTITY_SOCKET_FILE", message: `"${fileName}" must be a filename, not a path` };
}

/** Source: istio/istio pilot/cmd/pilot-agent/options/security.go. */
export function refusedProvCert(words: {
  readonly provCert: string;
  readonly isFileMountedCerts: boolean;
  readonly caProvider: string;
}): RefusedWord | undefined {
  const isGke = words.caProvider === "GkeWorkloadCertificate";
  const other = words.isFileMountedCerts
    ? "FILE_MOUNTED_CERTS"
    : isGke
      ? "CA_PROVIDER=GkeWorkloadCertificate"
      : undefined;
  if (words.provCert === "" || other === undefined) return undefined;
  return { name: "PROV_CERT", message: `PROV_CERT and ${other} are mutually exclusive` };
}
