import type { Metadata } from "@grpc/grpc-js";
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

/**
 * Metadata of one call. A header that cannot be sent is left out with a warning, which does not show its value: one
 * wrong variable must not cost the connection. The class is passed in, so that the library stays lazy.
 */
export function callMetadata(MetadataClass: new () => Metadata, headers: readonly CallHeader[], log: Logger): Metadata {
  const metadata = new MetadataClass();
  for (const { name, value, from } of headers) {
    const key = name.toLowerCase();
    try {
      if (key.startsWith(":") || OF_THE_CONNECTION.has(key)) throw new Error("the name belongs to HTTP/2 itself");
      metadata.add(key, key.endsWith("-bin") ? Buffer.from(value, "base64") : value);
    } catch {
      log.warn("call metadata left out: not a valid header", { variable: from, name });
    }
  }
  return metadata;
}
