import { bytesOf, readFields } from "../proto/wire.ts";
import type { Turns } from "./turns.ts";

/**
 * Whether a resource holds a private key in one of these forms: PEM anywhere, also in base64 without line breaks; a TLS
 * context, or a secret, with a key, a key store or session ticket keys in it instead of a reference, also under the names of
 * API version 2; text (JSON, a `TypedStruct`) that seems to have such a context. Files and SDS are references. What cannot be
 * read counts as a key. Source: envoy/extensions/transport_sockets.
 */
export async function holdsPrivateKey(resource: Uint8Array, turns: Turns): Promise<boolean> {
  const bytes = Buffer.from(resource.buffer, resource.byteOffset, resource.byteLength);
  let hasInline = false;
  for (let at = 0; at < bytes.length; at += WINDOW_BYTES) {
    const window = bytes.subarray(at, at + WINDOW_BYTES + LONGEST_WORD);
    if (hasOne(window, PEMS) || hasContextWithKey(bytes, at)) return true;
    hasInline ||= hasOne(window, INLINE);
    if (turns.isOver) await turns.next();
  }
  for (let at = 0; hasInline && at < bytes.length; at += WINDOW_BYTES) {
    if (hasOne(bytes.subarray(at, at + WINDOW_BYTES + LONGEST_WORD), HOLDERS)) return true;
    if (turns.isOver) await turns.next();
  }
  return false;
}

/** Searched at once; takes a fraction of a millisecond. */
const WINDOW_BYTES = 128 * 1_024;
/** More than the longest of what is searched for, which a window's end may cut. */
const LONGEST_WORD = 64;

function hasOne(window: Buffer, words: readonly string[]): boolean {
  return words.some((word) => window.includes(word));
}

const PEM = "PRIVATE KEY-----";
/** As text and as base64, whose letters depend on where the text begins in its groups of three bytes. */
const PEMS = [PEM, ...[0, 1, 2].map((skipped) => base64Inside(PEM.slice(skipped)))];

/** The letters that do not depend on what comes before and behind; the text begins a group. */
function base64Inside(text: string): string {
  return Buffer.from(text.slice(0, text.length - (text.length % 3))).toString("base64");
}

/** A value written out in a TLS context in JSON or in a `TypedStruct`. */
const INLINE = ["inline_bytes", "inlineBytes", "inline_string", "inlineString"];
/** The fields of such a context that hold keys. */
const HOLDERS = ["tls_certificates", "tlsCertificates", "session_ticket_keys", "sessionTicketKeys"];

interface Socket {
  /** End of the type URL in the `Any` around it, behind `transport_sockets.` */
  readonly name: Buffer;
  /** Field of the TLS context itself, where another message is around it. */
  readonly inside?: number;
  /** Field of `TlsSessionTicketKeys`. */
  readonly ticketKeys?: number;
  /** A `Secret`, which holds certificates as a context does one level deeper. */
  readonly isSecret?: boolean;
}

const PACKAGES = ["transport_sockets.", "envoy.api.v2.auth."];

const SOCKETS: readonly Socket[] = [
  ...["tls.v3.", "tls.v3alpha.", ""].flatMap((version) => [
    { name: Buffer.from(`${version}DownstreamTlsContext`), ticketKeys: 4 },
    { name: Buffer.from(`${version}UpstreamTlsContext`) },
    { name: Buffer.from(`${version}Secret`), ticketKeys: 3, isSecret: true },
  ]),
  { name: Buffer.from("quic.v3.QuicDownstreamTransport"), inside: 1, ticketKeys: 4 },
  { name: Buffer.from("quic.v3.QuicUpstreamTransport"), inside: 1 },
  { name: Buffer.from("starttls.v3.StartTlsConfig"), inside: 2, ticketKeys: 4 },
  { name: Buffer.from("starttls.v3.UpstreamStartTlsConfig"), inside: 2 },
];

interface TlsContext extends Pick<Socket, "ticketKeys" | "isSecret"> {
  readonly bytes: Uint8Array;
}

/** Whether one of the contexts whose names begin in the window at `from` has a key; also where it cannot be read. */
function hasContextWithKey(resource: Buffer, from: number): boolean {
  try {
    return contextsIn(resource, from).some(hasKey);
  } catch {
    return true;
  }
}

/** The names are searched for, since they may stand at any depth. */
function contextsIn(resource: Buffer, from: number): TlsContext[] {
  const found: TlsContext[] = [];
  const window = resource.subarray(from, from + WINDOW_BYTES + LONGEST_WORD);
  for (const place of PACKAGES) {
    for (let at = window.indexOf(place); at >= 0 && at < WINDOW_BYTES; at = window.indexOf(place, at + 1)) {
      const nameAt = from + at + place.length;
      const rest = resource.subarray(nameAt);
      const socket = SOCKETS.find(({ name }) => rest.subarray(0, name.length).equals(name));
      if (socket === undefined) continue;
      const behind = anyValue(rest.subarray(socket.name.length));
      const values = behind === undefined ? valuesBefore(resource, nameAt + socket.name.length) : [behind];
      for (const value of values)
        for (const bytes of socket.inside === undefined ? [value] : fields(value, socket.inside))
          found.push({ ...socket, bytes });
    }
  }
  return found;
}

/**
 * What may be the value of an `Any` that has its value first, as encoders need not but may: each field 2 that ends where
 * the field of the type URL begins. Only for names without a value behind them, which are rare: it is slow.
 */
function valuesBefore(resource: Buffer, nameEnd: number): Uint8Array[] {
  const found: Uint8Array[] = [];
  const urlAt = urlBefore(resource, nameEnd);
  for (let at = (urlAt ?? 0) - 1; at >= 0; at--) {
    if (resource[at] !== ANY_VALUE) continue;
    try {
      const value = bytesOf(resource.subarray(at, urlAt), 2);
      readFields(value, () => false);
      found.push(value);
    } catch {
      // no field begins there
    }
  }
  return found;
}

/** Where the field of the type URL begins that ends there. */
function urlBefore(resource: Buffer, nameEnd: number): number | undefined {
  for (let at = nameEnd - 3; at >= Math.max(0, nameEnd - LONGEST_URL); at--)
    if (resource[at] === ANY_TYPE_URL && resource[at + 1] === nameEnd - at - 2) return at;
  return undefined;
}

/** Its length is one byte. */
const LONGEST_URL = 129;

/** Undefined where the name stood in some text, or the message is empty. */
function anyValue(behindTypeUrl: Uint8Array): Uint8Array | undefined {
  if (behindTypeUrl[0] !== ANY_VALUE) return undefined;
  let value: Uint8Array | undefined;
  readFields(behindTypeUrl, (_field, reader) => {
    value ??= reader.bytes();
    reader.pos = reader.len; // what follows belongs to the message around
    return true;
  });
  return value;
}

const ANY_TYPE_URL = (1 << 3) | 2;
const ANY_VALUE = (2 << 3) | 2;

function hasKey({ bytes, ticketKeys, isSecret = false }: TlsContext): boolean {
  const holders = isSecret ? [bytes] : fields(bytes, COMMON_TLS_CONTEXT);
  const certificates = holders.flatMap((holder) => fields(holder, TLS_CERTIFICATES));
  const tickets = ticketKeys === undefined ? [] : fields(bytes, ticketKeys);
  const sources = [
    ...certificates.flatMap((certificate) => fields(certificate, PRIVATE_KEY, PKCS12)),
    ...tickets.flatMap((keys) => fields(keys, TICKET_KEY)),
    ...(isSecret ? fields(bytes, GENERIC_SECRET).flatMap((generic) => fields(generic, SECRET_SOURCE)) : []),
  ];
  return sources.some((source) => fields(source, INLINE_BYTES, INLINE_STRING).some(({ length }) => length > 0));
}

const COMMON_TLS_CONTEXT = 1;
const TLS_CERTIFICATES = 2;
const PRIVATE_KEY = 2;
const PKCS12 = 8;
const TICKET_KEY = 1;
const GENERIC_SECRET = 5;
const SECRET_SOURCE = 1;
// of a DataSource
const INLINE_BYTES = 2;
const INLINE_STRING = 3;

/** All length-delimited fields of these numbers. */
function fields(message: Uint8Array, ...wanted: readonly number[]): Uint8Array[] {
  const found: Uint8Array[] = [];
  readFields(message, (field, reader) => {
    if (!wanted.includes(field)) return false;
    found.push(reader.bytes());
    return true;
  });
  return found;
}
