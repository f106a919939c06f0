import type { X509Certificate } from "node:crypto";
import {
  AgentError,
  describeError,
  encodeCertificates,
  parseCertificates,
  parseChain,
  parsePrivateKey,
  readRegularFile,
  Secret,
} from "../../base/index.ts";

/** A certificate with what leads to its root, and its key; PEM, encoded from what was parsed. */
export interface KeyPair {
  readonly leaf: X509Certificate;
  readonly certChain: Buffer;
  readonly key: Secret;
}

/** The usable certificates of a bundle, encoded anew, with a newline after each; empty when there is none. */
export function goodRoots(pem: string | Uint8Array, onBad?: (reason: string) => void): Buffer {
  return Buffer.from(encodeCertificates(parseCertificates(pem, onBad), "\n"));
}

/**
 * Reads a certificate with its chain, and the key that belongs to it. One unusable certificate spoils the chain: it may
 * be half written, and Envoy would refuse it. Rejects with FILE_UNREADABLE or SECRET_FILE_INVALID.
 */
export async function readKeyPair(source: { readonly certChain: string; readonly key: string }): Promise<KeyPair> {
  const [chainBytes, keyBytes] = await Promise.all([readPem(source.certChain), readPem(source.key)]);
  const bad: string[] = [];
  const chain = parseChain(chainBytes, (reason) => bad.push(reason));
  if (bad.length > 0)
    throw invalidFile(source.certChain, `it holds a certificate that cannot be read: ${bad.join("; ")}`);
  const [leaf] = chain;
  if (leaf === undefined) throw invalidFile(source.certChain, whyNoCertificate(chainBytes));
  const parsed = parsePrivateKey(keyBytes);
  if (typeof parsed === "string") throw invalidFile(source.key, parsed);
  if (!leaf.checkPrivateKey(parsed.key)) {
    throw invalidFile(source.key, `the key does not belong to the certificate in "${source.certChain}"`);
  }
  return { leaf, certChain: Buffer.from(encodeCertificates(chain, chainBytes)), key: new Secret(parsed.pem) };
}

function whyNoCertificate(bytes: Buffer): string {
  const isKey = typeof parsePrivateKey(bytes) !== "string";
  return isKey ? "it holds a private key; are the two files swapped?" : "it holds no certificate, wanted PEM";
}

/** Rejects with FILE_UNREADABLE. */
export async function readPem(path: string): Promise<Buffer> {
  try {
    return await readRegularFile(path);
  } catch (error) {
    throw new AgentError("FILE_UNREADABLE", `Cannot read "${path}": ${describeError(error)}`, { cause: error });
  }
}

export function invalidFile(path: string, reason: string): AgentError {
  return new AgentError("SECRET_FILE_INVALID", `Cannot use "${path}": ${reason}`);
}
