import type { Logger } from "../base/index.ts";

/** One header of a gRPC call; `from` is the variable or file it comes from, for the log. */
export interface CallHeader {
  readonly name: string;
  /** Base64 when the name ends in `-bin`. */
  readonly value: string;
  readonly from: string;
}

/** Headers that `prefix` and the name made, for example `CA_HEADER_FOO`. */
export function headersOf(prefix: string, headers: readonly (readonly [name: string, value: string])[]): CallHeader[] {
  return headers.map(([name, value]) => ({ name, value, from: `${prefix}${name}` }));
}

/** HTTP/2 forbids these (RFC 9113 section 8.2.2), and Node refuses the whole request for one of them. */
const OF_THE_CONNECTION: ReadonlySet<string> = new Set([
  "connection",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);

/** What a header of gRPC may be. Source: grpc/grpc doc/PROTOCOL-HTTP2.md, "Custom-Metadata". */
const NAME = /^[0-9a-z_.-]+$/;
const TEXT = /^[ -~]*$/;

/**
 * The headers of one call as HTTP/2 has them, without those that cannot be sent: they are left out with a warning, which
 * does not show the value. One wrong variable must not cost the connection.
 */
export function sendableHeaders(
  headers: readonly CallHeader[],
  log: Logger,
): (readonly [name: string, value: string])[] {
  const sendable: (readonly [string, string])[] = [];
  for (const { name, value, from } of headers) {
    const key = name.toLowerCase();
    const text = key.endsWith("-bin") ? Buffer.from(value, "base64").toString("base64") : value.trim();
    if (NAME.test(key) && TEXT.test(text) && !OF_THE_CONNECTION.has(key)) sendable.push([key, text]);
    else log.warn("call metadata left out: not a valid header", { variable: from, name });
  }
  return sendable;
}
