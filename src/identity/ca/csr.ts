import { createPublicKey, type KeyObject, sign } from "node:crypto";
import { derOid, derSequence, derSignature, derValue, pemBlock } from "../../base/index.ts";

/**
 * A certificate request as PEM: no subject, one critical extension with one URI name. Signed with SHA-256, or with
 * SHA-384 for a P-384 key. Format: RFC 2986, RFC 5280 section 4.2.1.6.
 */
export function createCsr(key: KeyObject, uri: string): string {
  const publicKey = createPublicKey(key).export({ type: "spki", format: "der" });
  const altName = derSequence(derValue(0x86, Buffer.from(uri, "latin1")));
  const extension = derSequence(derOid("551d11"), derValue(0x01, Buffer.from([0xff])), derValue(0x04, altName));
  const extensionRequest = derSequence(derOid("2a864886f70d01090e"), derValue(0x31, derSequence(extension)));
  const info = derSequence(
    derValue(0x02, Buffer.from([0])),
    derSequence(),
    publicKey,
    derValue(0xa0, extensionRequest),
  );
  const { algorithm, digest } = derSignature(key);
  const signature = sign(digest, info, key);
  const request = derSequence(info, algorithm, derValue(0x03, Buffer.from([0]), signature));
  return pemBlock("CERTIFICATE REQUEST", request);
}

/** The SPIFFE identity in Istio's form; nothing is escaped. Source: istio/istio pkg/spiffe/spiffe.go. */
export function spiffeId(trustDomain: string, namespace: string, serviceAccount: string): string {
  return `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`;
}
