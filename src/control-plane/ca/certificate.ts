import { createHash, type KeyObject, randomBytes, sign } from "node:crypto";
import { isIPv4 } from "node:net";
import { derOid, derSequence, derSignature, derValue, pemBlock } from "../../base/index.ts";
import { type DerNode, readChildren, readDer, readPem } from "./read-der.ts";

// X.509 certificates as a mesh CA writes them. Format: RFC 5280.

export interface CertificateFields {
  /** DER of a name, as `nameOf` makes it. */
  readonly issuer: Buffer;
  readonly subject: Buffer;
  /** DER of the SubjectPublicKeyInfo. */
  readonly publicKey: Buffer;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly extensions: readonly Buffer[];
}

/** A certificate in PEM with a random serial number, signed with `key`. */
export function signCertificate(fields: CertificateFields, key: KeyObject): string {
  const { algorithm, digest } = derSignature(key);
  const toBeSigned = derSequence(
    derValue(0xa0, integer(Buffer.from([2]))), // version 3
    integer(serialNumber()),
    algorithm,
    fields.issuer,
    derSequence(time(fields.notBeforeMs), time(fields.notAfterMs)),
    fields.subject,
    fields.publicKey,
    derValue(0xa3, derSequence(...fields.extensions)),
  );
  const signature = sign(digest, toBeSigned, key);
  return pemBlock("CERTIFICATE", derSequence(toBeSigned, algorithm, bits(0, signature)));
}

/** A name of one part, or of none. */
export function nameOf(part?: { readonly commonName: string } | { readonly organization: string }): Buffer {
  if (part === undefined) return derSequence();
  const [oid, text] = "commonName" in part ? ["550403", part.commonName] : ["55040a", part.organization];
  return derSequence(derValue(0x31, derSequence(derOid(oid), derValue(0x0c, Buffer.from(text)))));
}

export type AltName = { readonly uri: string } | { readonly dns: string } | { readonly ip: string };

/** The names that a certificate is for. Critical, because the subject is mostly empty (section 4.2.1.6). */
export function altNames(names: readonly AltName[]): Buffer {
  const parts = names.map((name) => {
    if ("uri" in name) return derValue(0x86, Buffer.from(name.uri));
    return "dns" in name ? derValue(0x82, Buffer.from(name.dns)) : derValue(0x87, ipBytes(name.ip));
  });
  return extension("551d11", true, derSequence(...parts));
}

/** What marks a CA: it may sign certificates and nothing else. */
export function authorityExtensions(publicKey: Buffer): Buffer[] {
  return [
    extension("551d13", true, derSequence(derValue(0x01, Buffer.from([0xff])))),
    extension("551d0f", true, bits(2, Buffer.from([0x04]))), // keyCertSign
    extension("551d0e", false, derValue(0x04, createHash("sha1").update(keyBits(publicKey)).digest())),
  ];
}

/** What marks a workload: both ends of TLS, no CA. */
export function workloadExtensions(issuerKeyId: Buffer | undefined): Buffer[] {
  const keyId = issuerKeyId && extension("551d23", false, derSequence(derValue(0x80, issuerKeyId)));
  return [
    extension("551d13", true, derSequence()),
    extension("551d0f", true, bits(5, Buffer.from([0xa0]))), // digitalSignature, keyEncipherment
    extension("551d25", false, derSequence(derOid("2b06010505070301"), derOid("2b06010505070302"))), // server, client
    ...(keyId === undefined ? [] : [keyId]),
  ];
}

/** DER of a certificate's subject, and its subject key identifier if it has one. Throws when `pem` is no certificate. */
export function readIssuer(pem: string): { readonly subject: Buffer; readonly keyId: Buffer | undefined } {
  const { fields, extension } = takeApart(readPem(pem, "CERTIFICATE") ?? Buffer.alloc(0));
  const subject = fields[5]; // after version, serial number, algorithm, issuer and validity
  if (subject === undefined) throw new Error("the certificate has no subject");
  return { subject: subject.whole, keyId: extension("551d0e")?.content };
}

/** What a certificate says of its being a CA's; no path length means no limit. Throws when `raw` is no certificate. */
export function readAuthority(raw: Buffer): { readonly isVersion3: boolean; readonly pathLength: number | undefined } {
  const { fields, extension } = takeApart(raw);
  const constraints = extension("551d13");
  const [, length] = constraints === undefined ? [] : readChildren(constraints); // after the flag that says CA
  const isVersion3 = fields[0]?.tag === 0xa0 && fields[0].content.at(-1) === 2;
  return { isVersion3, pathLength: length && Number.parseInt(length.content.toString("hex"), 16) };
}

/** The fields of what is signed, and how to find an extension's value by its object identifier. */
function takeApart(raw: Buffer) {
  const [toBeSigned] = readChildren(readDer(raw));
  const fields = toBeSigned === undefined ? [] : readChildren(toBeSigned);
  const list = fields.find(({ tag }) => tag === 0xa3);
  const extensions = list === undefined ? [] : readChildren(list).flatMap(readChildren).map(readChildren);
  const extension = (hex: string): DerNode | undefined => {
    const value = extensions.find(([oid]) => oid?.content.toString("hex") === hex)?.at(-1);
    return value && readDer(value.content);
  };
  return { fields, extension };
}

function extension(oid: string, isCritical: boolean, value: Buffer): Buffer {
  const critical = isCritical ? [derValue(0x01, Buffer.from([0xff]))] : [];
  return derSequence(derOid(oid), ...critical, derValue(0x04, value));
}

const integer = (bytes: Buffer): Buffer => derValue(0x02, bytes);

const bits = (unused: number, bytes: Buffer): Buffer => derValue(0x03, Buffer.from([unused]), bytes);

/** 126 random bits in 16 bytes; the first two are 01, so that it is positive and has no needless zeros. */
function serialNumber(): Buffer {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes;
}

/** Two digits of the year until 2049, four from then on (section 4.1.2.5). */
function time(ms: number): Buffer {
  const digits = `${new Date(ms).toISOString().replace(/\.\d+|[-:TZ]/g, "")}Z`;
  return digits < "2050" ? derValue(0x17, Buffer.from(digits.slice(2))) : derValue(0x18, Buffer.from(digits));
}

/** The key itself, without what says of which kind it is. */
function keyBits(publicKey: Buffer): Buffer {
  return readChildren(readDer(publicKey)).at(-1)?.content.subarray(1) ?? publicKey;
}

function ipBytes(ip: string): Buffer {
  if (isIPv4(ip)) return Buffer.from(ip.split(".").map(Number));
  const [head = "", tail] = new URL(`http://[${ip}]`).hostname.slice(1, -1).split("::"); // without dots and capitals
  const groups = (text: string): number[] =>
    text === "" ? [] : text.split(":").map((hex) => Number.parseInt(hex, 16));
  const [before, after] = [groups(head), groups(tail ?? "")];
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => 0);
  return Buffer.from([...before, ...zeros, ...after].flatMap((group) => [group >> 8, group & 0xff]));
}
