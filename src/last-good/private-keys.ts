import { readFields } from "../proto/wire.ts";

/**
 * Whether a resource holds a private key: text in PEM form anywhere, or a TLS context with a key, a key store or session
 * ticket keys in it instead of a reference. Files and SDS are references. What cannot be read counts as a key.
 * Source: envoy/extensions/transport_sockets/tls/v3.
 */
export function holdsPrivateKey(resource: Uint8Array): boolean {
  const bytes = Buffer.from(resource.buffer, resource.byteOffset, resource.byteLength);
  if (bytes.includes(PEM)) return true;
  try {
    return contextsIn(bytes).some(hasKey);
  } catch {
    return true;
  }
}

const PEM = "PRIVATE KEY-----";

interface Socket {
  /** End of the type URL in the `Any` around it, behind `transport_sockets.` */
  readonly name: Buffer;
  /** Field of the TLS context itself, where another message is around it. */
  readonly inside?: number;
  /** Field of `TlsSessionTicketKeys`. */
  readonly ticketKeys?: number;
}

const PACKAGE = "transport_sockets.";

const SOCKETS: readonly Socket[] = [
  { name: Buffer.from("tls.v3.DownstreamTlsContext"), ticketKeys: 4 },
  { name: Buffer.from("tls.v3.UpstreamTlsContext") },
  { name: Buffer.from("quic.v3.QuicDownstreamTransport"), inside: 1, ticketKeys: 4 },
  { name: Buffer.from("quic.v3.QuicUpstreamTransport"), inside: 1 },
];

interface TlsContext {
  readonly bytes: Uint8Array;
  readonly ticketKeys: number | undefined;
}

/** In an `Any` the value follows the type URL, as all encoders write it. */
function contextsIn(resource: Buffer): TlsContext[] {
  const found: TlsContext[] = [];
  for (let at = resource.indexOf(PACKAGE); at >= 0; at = resource.indexOf(PACKAGE, at + 1)) {
    const rest = resource.subarray(at + PACKAGE.length);
    const socket = SOCKETS.find(({ name }) => rest.subarray(0, name.length).equals(name));
    const value = socket && anyValue(rest.subarray(socket.name.length));
    if (socket === undefined || value === undefined) continue;
    const { inside, ticketKeys } = socket;
    for (const bytes of inside === undefined ? [value] : fields(value, inside)) found.push({ bytes, ticketKeys });
  }
  return found;
}

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

const ANY_VALUE = (2 << 3) | 2;

function hasKey({ bytes, ticketKeys }: TlsContext): boolean {
  const certificates = fields(bytes, COMMON_TLS_CONTEXT).flatMap((common) => fields(common, TLS_CERTIFICATES));
  const tickets = ticketKeys === undefined ? [] : fields(bytes, ticketKeys);
  const sources = [
    ...certificates.flatMap((certificate) => fields(certificate, PRIVATE_KEY, PKCS12)),
    ...tickets.flatMap((keys) => fields(keys, TICKET_KEY)),
  ];
  return sources.some((source) => fields(source, INLINE_BYTES, INLINE_STRING).some(({ length }) => length > 0));
}

const COMMON_TLS_CONTEXT = 1;
const TLS_CERTIFICATES = 2;
const PRIVATE_KEY = 2;
const PKCS12 = 8;
const TICKET_KEY = 1;
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
