import type { LocalMessage } from "../grpc-stream/index.ts";
import type { Variant } from "./variant.ts";

/** Remembers the configuration that Envoy accepts, and answers in the control plane's place while that is away. */
export interface LastGood {
  /** For a new stream of Envoy's, whose first request is given. Undefined where it is not followed. */
  follow(variant: Variant, firstRequest: Uint8Array): LastGoodStream | undefined;
}

/** One stream between Envoy and the control plane. What passes is given to it; it never holds anything up, and never throws. */
export interface LastGoodStream {
  /** Every message to the control plane, in its order. */
  request(message: Uint8Array): void;
  /** A message of the control plane begins. */
  response(): LastGoodSink;
  /** The control plane cannot be asked. Undefined where there is no whole configuration to answer with. Never rejects. */
  standIn(): Promise<StandIn | undefined>;
  /** The stream is over. */
  close(): void;
}

/** Takes a message as its bytes pass. */
export interface LastGoodSink {
  write(chunk: Uint8Array): void;
  /** The message is complete. */
  end(): void;
}

export interface StandIn {
  /** When Envoy accepted what it answers with: milliseconds since the epoch. */
  readonly acceptedMs: number;
  /** The response to a request of Envoy's; undefined where there is none. Rejects on bytes that are no request. */
  answer(request: Uint8Array): Promise<Answer | undefined>;
}

/** Its pieces reject where it cannot be read. */
export interface Answer extends LocalMessage {
  readonly resourceCount: number;
}
