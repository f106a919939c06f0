import { createPublicKey, type KeyObject, sign } from "node:crypto";

/**
 * A certificate request as PEM: no subject, one critical extension with one URI name. Signed with SHA-256, or with
 * SHA-384 for a P-384 key. Format: RFC 2986, RFC 5280 section 4.2.1.6.
 */
export function createCsr(key: KeyObject, uri: string): string {
  const publicKey = createPublicKey(key).export({ type: "spki", format: "der" });
  const altName = sequence(der(0x86, Buffer.from(uri, "latin1")));
  const extension = sequence(oid("551d11"), der(0x01, Buffer.from([0xff])), der(0x04, altName));
  const extensionRequest = sequence(oid("2a864886f70d01090e"), der(0x31, sequence(extension)));
  const info = sequence(der(0x02, Buffer.from([0])), sequence(), publicKey, der(0xa0, extensionRequest));
  const { algorithm, digest } = signatureOf(key);
  const signature = sign(digest, info, key);
  const request = sequence(info, algorithm, der(0x03, Buffer.from([0]), signature));
  return pemBlock("CERTIFICATE REQUEST", request);
}

/** The SPIFFE identity in Istio's form; nothing is escaped. Source: istio/istio pkg/spiffe/spiffe.go. */
export function spiffeId(trustDomain: string, namespace: string, serviceAccount: string): string {
  return `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`;
}

function signatureOf(key: KeyObject): { algorithm: Buffer; digest: "sha256" | "sha384" } {
  if (key.asymmetricKeyType === "rsa") {
    return { algorithm: sequence(oid("2a864886f70d01010b"), der(0x05)), digest: "sha256" };
  }
  const isP384 = key.asymmetricKeyDetails?.namedCurve === "secp384r1";
  return isP384
    ? { algorithm: sequence(oid("2a8648ce3d040303")), digest: "sha384" }
    : { algorithm: sequence(oid("2a8648ce3d040302")), digest: "sha256" };
}

/** One DER value: tag, length, content (X.690 section 8.1). */
function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  if (content.length < 0x80) return Buffer.concat([Buffer.from([tag, content.length]), content]);
  const length = Buffer.from(content.length.toString(16).replace(/^(.(?:..)*)$/, "0$1"), "hex");
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length]), length, content]);
}

const sequence = (...parts: readonly Buffer[]): Buffer => der(0x30, ...parts);

const oid = (hex: string): Buffer => der(0x06, Buffer.from(hex, "hex"));

function pemBlock(label: string, bytes: Buffer): string {
  const lines = bytes.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
