import { createPublicKey, verify } from "node:crypto";
import { AgentError } from "../../base/index.ts";
import { type DerNode, readChildren, readDer, readPem } from "./read-der.ts";

/** What a CA takes from a certificate request: nearly nothing, because it knows better who asks. */
export interface CertificateRequest {
  /** DER of the SubjectPublicKeyInfo. */
  readonly publicKey: Buffer;
  readonly hasCommonName: boolean;
}

/** Reads a PEM request (RFC 2986) and checks that it is signed with its own key. Throws CSR_INVALID. */
export function readRequest(pem: string): CertificateRequest {
  const bytes = readPem(pem, "(?:NEW )?CERTIFICATE REQUEST");
  if (bytes === undefined) throw invalid("the request is not PEM");
  const { info, subject, publicKey, signature, digest } = takeApart(bytes);
  if (!isSigned(info, publicKey, signature, digest)) throw invalid("the request is not signed with its own key");
  return { publicKey: publicKey.whole, hasCommonName: subject.content.includes(COMMON_NAME) };
}

/** id-at-commonName with its tag and length. */
const COMMON_NAME = Buffer.from("0603550403", "hex");

/** Digests by the content of the signature algorithm's identifier: RSA (RFC 5754), ECDSA (RFC 5758), Ed25519. */
const DIGESTS: Readonly<Record<string, string | null>> = {
  "2a864886f70d01010b": "sha256",
  "2a864886f70d01010c": "sha384",
  "2a864886f70d01010d": "sha512",
  "2a8648ce3d040302": "sha256",
  "2a8648ce3d040303": "sha384",
  "2a8648ce3d040304": "sha512",
  "2b6570": null,
};

function takeApart(bytes: Buffer) {
  try {
    const [info, algorithm, signature] = readChildren(readDer(bytes));
    if (info === undefined || algorithm === undefined || signature === undefined) throw new Error("a part is missing");
    const [, subject, publicKey] = readChildren(info);
    const [identifier] = readChildren(algorithm);
    if (subject === undefined || publicKey === undefined) throw new Error("subject or key is missing");
    const digest = DIGESTS[identifier?.content.toString("hex") ?? ""];
    if (digest === undefined) throw new Error("its signature algorithm is not supported");
    return { info, subject, publicKey, signature: signature.content.subarray(1), digest }; // after the unused bits
  } catch (error) {
    throw invalid("cannot read the request", error);
  }
}

function isSigned(info: DerNode, publicKey: DerNode, signature: Buffer, digest: string | null): boolean {
  try {
    const key = createPublicKey({ key: publicKey.whole, format: "der", type: "spki" });
    return verify(digest, info.whole, key, signature);
  } catch (error) {
    throw invalid("cannot use the request's key", error);
  }
}

function invalid(what: string, cause?: unknown): AgentError {
  return new AgentError("CSR_INVALID", `CSR signing error (${what})`, { cause });
}
