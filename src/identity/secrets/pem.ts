import { X509Certificate } from "node:crypto";

/**
 * A block, or the first line of one that is cut off: dashes end a body, so a block without its own END cannot swallow
 * the next. Unrolled, because a body that never ends must not be tried in many ways.
 */
const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----(\s[^-]*(?:-(?!----)[^-]*)*-----END \1-----)?/g;

/** The certificates of a bundle in order. Unusable blocks are told to `onBad` and left out; text between is ignored. */
export function parseCertificates(
  pem: string | Uint8Array,
  onBad: (reason: string) => void = () => undefined,
): X509Certificate[] {
  return certificateBlocks(pem, onBad).flatMap((block) => {
    try {
      const certificate = new X509Certificate(block);
      if (!certificate.serialNumber.startsWith("-") && !hasNegativeSerial(certificate.raw)) return [certificate];
      onBad(`negative serial number in "${oneLine(certificate.subject)}"`);
    } catch (error) {
      onBad(error instanceof Error ? error.message : String(error));
    }
    return [];
  });
}

/**
 * Joins bundles into one: each certificate once, sorted, without comments, no newline at the end. Roots compare by
 * their bytes, so the same certificate wrapped differently collapses.
 */
export function mergeRoots(bundles: readonly (string | Uint8Array)[]): string {
  const blocks = bundles.flatMap((bundle) => parseCertificates(bundle).map((certificate) => encode(certificate)));
  return [...new Set(blocks)].sort().join("\n");
}

/** Joins PEM texts; a newline goes in only where a text lacks its last one. */
export function joinPem(parts: readonly string[]): string {
  return parts.reduce((all, part) => (all === "" || all.endsWith("\n") ? all + part : `${all}\n${part}`), "");
}

/** The certificate as PEM without a newline at the end. */
export function encode(certificate: X509Certificate): string {
  return certificate.toString().trim();
}

function certificateBlocks(pem: string | Uint8Array, onBad: (reason: string) => void): string[] {
  const text = typeof pem === "string" ? pem : Buffer.from(pem).toString("latin1");
  return [...text.matchAll(BLOCK)].flatMap(([block, label, rest]) => {
    if (label !== "CERTIFICATE") return [];
    if (rest === undefined) onBad("a CERTIFICATE block has no END line of its own");
    return rest === undefined ? [] : [block];
  });
}

/**
 * RFC 5280 wants a positive serial; Go refuses a negative one, OpenSSL (and so Node) takes it. The serial is the first
 * INTEGER after the optional version in TBSCertificate.
 */
function hasNegativeSerial(raw: Buffer): boolean {
  let at = contentStart(raw, contentStart(raw, 0)); // Certificate, then TBSCertificate
  if (raw[at] === 0xa0) at = contentStart(raw, at) + 3; // [0] { INTEGER version }
  return raw[at] === 0x02 && ((raw[contentStart(raw, at)] ?? 0) & 0x80) !== 0;
}

function contentStart(raw: Buffer, at: number): number {
  const length = raw[at + 1] ?? 0;
  return at + 2 + (length < 0x80 ? 0 : length & 0x7f);
}

function oneLine(text: string): string {
  return text.replaceAll("\n", ", ");
}
