import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { pemBlock } from "./der.ts";
import { oneLine } from "./escape.ts";

// Certificates and keys as they are found in files. What these functions return is encoded anew from what was parsed, so
// that whoever uses it sees exactly what was checked. More is taken than Go's encoding/pem takes: docs/go-habits.md.

/** One block; `bytes` is undefined when its body is no base64. */
export interface PemBlock {
  readonly label: string;
  readonly bytes: Buffer | undefined;
  /** It has RFC 1421 headers, as an encrypted key of the traditional form does. */
  readonly hasHeaders: boolean;
}

/**
 * A block, or the first line of one that is cut off: dashes end a body, so a block without its own END cannot swallow
 * the next. Unrolled, because a body that never ends must not be tried in many ways.
 */
const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----(\s[^-]*(?:-(?!----)[^-]*)*-----END \1-----)?/g;

/** The blocks of a text in order; what stands between them is ignored. `onBad` gets one that has no end. */
export function readPemBlocks(pem: string | Uint8Array, onBad: OnBad = ignore): PemBlock[] {
  const text = typeof pem === "string" ? pem : Buffer.from(pem).toString("latin1");
  return [...text.matchAll(BLOCK)].flatMap(([, label = "", rest]) => {
    if (rest !== undefined) return [{ label, ...readBody(rest.slice(0, rest.lastIndexOf("-----END "))) }];
    onBad(`a ${label} block has no END line of its own`, label);
    return [];
  });
}

/** Called with the reason for each part that is left out. */
export type OnBad = (reason: string, label: string) => void;

const ignore: OnBad = () => undefined;

/**
 * The certificates of a bundle in order. Unusable CERTIFICATE blocks are left out and go to `onBad`; so are those with a
 * serial number below zero, as Go does.
 */
export function parseCertificates(pem: string | Uint8Array, onBad: OnBad = ignore): X509Certificate[] {
  return parseChain(pem, onBad).filter((certificate) => isPositive(certificate, onBad));
}

/** The same for a chain: Go looks at the serial number of its first certificate alone. */
export function parseChain(pem: string | Uint8Array, onBad: OnBad = ignore): X509Certificate[] {
  const blocks = readPemBlocks(pem, (reason, label) => label === "CERTIFICATE" && onBad(reason, label));
  const certificates = blocks.filter(({ label }) => label === "CERTIFICATE");
  const usable = certificates.flatMap(({ label, bytes }) => {
    try {
      return [new X509Certificate(bytes ?? "")];
    } catch {
      onBad(`a CERTIFICATE block ${bytes === undefined ? "is not base64" : "holds no certificate"}`, label);
      return []; // the library's own words differ from runtime to runtime
    }
  });
  const first = usable.findIndex((certificate) => isPositive(certificate, onBad));
  return first < 0 ? [] : usable.slice(first);
}

/** RFC 5280 wants a positive serial; Go refuses a negative one, OpenSSL (and so Node) takes it. */
function isPositive(certificate: X509Certificate, onBad: OnBad): boolean {
  if (!hasNegativeSerial(certificate.raw)) return true;
  onBad(`negative serial number in "${oneLine(certificate.subject, ", ")}"`, "CERTIFICATE");
  return false;
}

/** The certificate as PEM, with a newline at the end. */
export function encodeCertificate(certificate: X509Certificate): string {
  return pemBlock("CERTIFICATE", certificate.raw);
}

/** The same for several; without the last newline if `source` has none, so that a plain text stays what it was. */
export function encodeCertificates(certificates: readonly X509Certificate[], source: string | Uint8Array): string {
  const text = certificates.map(encodeCertificate).join("");
  return endLike(text, source);
}

function endLike(text: string, source: string | Uint8Array): string {
  return source.at(-1) === (typeof source === "string" ? "\n" : 0x0a) ? text : text.trimEnd();
}

/** A private key and its PEM, in the form that it was found in. */
export interface ParsedKey {
  readonly key: KeyObject;
  readonly pem: Buffer;
}

/**
 * The first private key of a text, whatever stands before it; PKCS#8, PKCS#1 or SEC 1, whatever its label says. Text that
 * says why there is none; it never quotes the key. Source: Go crypto/tls (X509KeyPair, parsePrivateKey).
 */
export function parsePrivateKey(pem: string | Uint8Array): ParsedKey | string {
  const block = readPemBlocks(pem).find(({ label }) => label === "PRIVATE KEY" || label.endsWith(" PRIVATE KEY"));
  if (block === undefined) return "it holds no private key, wanted PEM";
  if (block.label === "ENCRYPTED PRIVATE KEY" || block.hasHeaders)
    return "the key is encrypted, wanted one without a passphrase";
  if (block.bytes === undefined) return "its private key is not base64";
  const form = keyForm(block.bytes);
  try {
    const key = createPrivateKey({ key: block.bytes, format: "der", type: form });
    return { key, pem: Buffer.from(endLike(pemBlock(KEY_LABELS[form], block.bytes), pem)) };
  } catch {
    return "it has no readable private key; expected PKCS#8, PKCS#1 or SEC 1"; // no cause: it could quote the key
  }
}

const KEY_LABELS = { pkcs8: "PRIVATE KEY", pkcs1: "RSA PRIVATE KEY", sec1: "EC PRIVATE KEY" } as const;

/**
 * By what comes after the version: the algorithm (RFC 5208), the modulus (RFC 8017) or the key itself (RFC 5915). Seen, not
 * tried: Bun takes each form under each name, and BoringSSL does not.
 */
function keyForm(der: Buffer): keyof typeof KEY_LABELS {
  const version = contentStart(der, 0);
  const tag = der[contentStart(der, version) + (der[version + 1] ?? 0)];
  if (tag === 0x02) return "pkcs1";
  return tag === 0x04 ? "sec1" : "pkcs8";
}

/** Header lines have a colon, which base64 has not. */
function readBody(body: string): { readonly bytes: Buffer | undefined; readonly hasHeaders: boolean } {
  const lines = body.split(/[\r\n]+/);
  const base64 = lines
    .filter((line) => !line.includes(":"))
    .join("")
    .replace(/\s/g, "");
  const isBase64 = base64.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(base64);
  return {
    bytes: isBase64 ? Buffer.from(base64, "base64") : undefined,
    hasHeaders: lines.some((line) => line.includes(":")),
  };
}

/** The serial is the first INTEGER after the optional version in TBSCertificate. */
function hasNegativeSerial(raw: Buffer): boolean {
  let at = contentStart(raw, contentStart(raw, 0)); // Certificate, then TBSCertificate
  if (raw[at] === 0xa0) at = contentStart(raw, at) + 3; // [0] { INTEGER version }
  return raw[at] === 0x02 && ((raw[contentStart(raw, at)] ?? 0) & 0x80) !== 0;
}

function contentStart(raw: Buffer, at: number): number {
  const length = raw[at + 1] ?? 0;
  return at + 2 + (length < 0x80 ? 0 : length & 0x7f);
}
