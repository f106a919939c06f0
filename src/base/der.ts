import type { KeyObject } from "node:crypto";

// The little of DER (X.690) that certificates and requests for them are written in.

/** One value: tag, length, content (X.690 section 8.1). */
export function derValue(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  if (content.length < 0x80) return Buffer.concat([Buffer.from([tag, content.length]), content]);
  const length = Buffer.from(content.length.toString(16).replace(/^(.(?:..)*)$/, "0$1"), "hex");
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length]), length, content]);
}

export const derSequence = (...parts: readonly Buffer[]): Buffer => derValue(0x30, ...parts);

/** An object identifier, given as the hex digits of its content. */
export const derOid = (hex: string): Buffer => derValue(0x06, Buffer.from(hex, "hex"));

/**
 * How `key` signs: the algorithm's identifier and the digest for `crypto.sign`. SHA-256 for RSA and P-256, SHA-384 for
 * P-384 (RFC 5754, RFC 5758).
 */
export function derSignature(key: KeyObject): { readonly algorithm: Buffer; readonly digest: "sha256" | "sha384" } {
  if (key.asymmetricKeyType === "rsa") {
    return { algorithm: derSequence(derOid("2a864886f70d01010b"), derValue(0x05)), digest: "sha256" };
  }
  const isP384 = key.asymmetricKeyDetails?.namedCurve === "secp384r1";
  return isP384
    ? { algorithm: derSequence(derOid("2a8648ce3d040303")), digest: "sha384" }
    : { algorithm: derSequence(derOid("2a8648ce3d040302")), digest: "sha256" };
}

/** The text form, with a newline at its end (RFC 7468). */
export function pemBlock(label: string, bytes: Buffer): string {
  const lines = bytes.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
