import { codeName, type StreamStatus } from "../grpc/index.ts";

/** How much noise an end deserves. Source: istio/istio pilot/pkg/grpc (GRPCErrorType). */
export type EndClass = "graceful" | "expected" | "unexpected";

/** Texts of UNAVAILABLE that a peer's ordinary departure produces, in the words of grpc-go and of `grpc-stream`. */
const ORDINARY_DEPARTURES = [
  "client disconnected",
  "error reading from server: EOF",
  "transport is closing",
  "Connection dropped",
];

const ORDINARY_RESETS = [
  "stream terminated by RST_STREAM with error code: NO_ERROR",
  "Received RST_STREAM with code 0",
  "the server ended the stream without a status",
  "received prior goaway: code: NO_ERROR",
];

/** Sorts the end of a stream: clean, ordinary for long streams, or worth a warning. */
export function classifyEnd(status: StreamStatus): EndClass {
  const name = codeName(status.code);
  if (name === "OK") return "graceful";
  if (name === "CANCELLED" || name === "DEADLINE_EXCEEDED") return "expected";
  if (ORDINARY_RESETS.some((text) => status.details.includes(text))) return "expected";
  const hasDeparted = ORDINARY_DEPARTURES.some((text) => status.details.includes(text));
  return name === "UNAVAILABLE" && hasDeparted ? "expected" : "unexpected";
}
