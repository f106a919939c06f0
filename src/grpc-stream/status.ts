import type { IncomingHttpHeaders } from "node:http2";
import { Code, plainReason, type StreamStatus } from "../grpc/index.ts";

/** Headers and status of a response that is over before it began, or that had no trailers of gRPC. */
export function statusOfTrailers(trailers: IncomingHttpHeaders): StreamStatus | undefined {
  const code = trailers["grpc-status"];
  if (code === undefined) return undefined;
  const number = /^\d+$/.test(String(code)) ? Number(code) : Code.UNKNOWN;
  const details = decoded(String(trailers["grpc-message"] ?? ""));
  return { code: number > HIGHEST_CODE ? Code.UNKNOWN : number, details };
}

const HIGHEST_CODE = Code.UNAUTHENTICATED;

/** How the messages that follow may be compressed; undefined for not at all. */
export function encodingOf(headers: IncomingHttpHeaders): string | undefined {
  const encoding = headers["grpc-encoding"];
  return typeof encoding === "string" ? encoding : undefined;
}

/** What the answer of a server that is none of gRPC means. Source: grpc/grpc doc/http-grpc-status-mapping.md. */
export function statusOfHttp(httpStatus: number): StreamStatus {
  return { code: BY_HTTP_STATUS.get(httpStatus) ?? Code.UNKNOWN, details: `Received HTTP status code ${httpStatus}` };
}

const BY_HTTP_STATUS: ReadonlyMap<number, number> = new Map([
  [400, Code.INTERNAL],
  [401, Code.UNAUTHENTICATED],
  [403, Code.PERMISSION_DENIED],
  [404, Code.UNIMPLEMENTED],
  [429, Code.UNAVAILABLE],
  [502, Code.UNAVAILABLE],
  [503, Code.UNAVAILABLE],
  [504, Code.UNAVAILABLE],
]);

/** What a broken-off stream means. Source: grpc/grpc doc/PROTOCOL-HTTP2.md, "Errors". */
export function statusOfReset(resetCode: number): StreamStatus {
  return { code: BY_RESET.get(resetCode) ?? Code.INTERNAL, details: `Received RST_STREAM with code ${resetCode}` };
}

/** RFC 9113 section 7: REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY. */
const BY_RESET: ReadonlyMap<number, number> = new Map([
  [7, Code.UNAVAILABLE],
  [8, Code.CANCELLED],
  [11, Code.RESOURCE_EXHAUSTED],
  [12, Code.PERMISSION_DENIED],
]);

/**
 * The trailers that say a status. Only `%` and what is not printable ASCII is encoded: Envoy, which does not decode, would
 * print `connect%20refused`. A blank at the end would make the header invalid.
 */
export function trailersOf({ code, details }: StreamStatus): Record<string, string> {
  const message = shortened(plainReason(details)).replace(/[^ -~]+|%/g, percentEncoded);
  return { "grpc-status": String(code), ...(message === "" ? {} : { "grpc-message": message }) };
}

/** Both sides refuse headers of more than some tens of kilobytes, and with them the status. */
const MOST_DETAILS = 2_000;

function shortened(text: string): string {
  return text.length > MOST_DETAILS ? `${text.slice(0, MOST_DETAILS)}...` : text;
}

function percentEncoded(text: string): string {
  const hex = (byte: number): string => byte.toString(16).toUpperCase().padStart(2, "0");
  return [...Buffer.from(text)].map((byte) => `%${hex(byte)}`).join("");
}

function decoded(message: string): string {
  try {
    return decodeURIComponent(message);
  } catch {
    return message;
  }
}
