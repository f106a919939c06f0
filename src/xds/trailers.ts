import { Metadata } from "@grpc/grpc-js";
import { plainReason, type StreamStatus } from "../grpc/index.ts";

/**
 * The status as grpc-js takes it, with the message encoded as gRPC asks: only `%` and what is not printable ASCII.
 * grpc-js would encode blanks as well, and Envoy, which does not decode, would print `connect%20refused`. A blank at the
 * end would make the header invalid.
 */
export function trailers(status: StreamStatus): StreamStatus & { readonly metadata: Metadata } {
  const { code } = status;
  const details = plainReason(status.details);
  const metadata = new Metadata();
  metadata.set("grpc-message", details.replace(/[^ -~]+|%/g, percentEncoded));
  return { code, details, metadata };
}

function percentEncoded(text: string): string {
  const hex = (byte: number): string => byte.toString(16).toUpperCase().padStart(2, "0");
  return [...Buffer.from(text)].map((byte) => `%${hex(byte)}`).join("");
}
