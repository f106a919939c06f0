import { silentLogger } from "../base/index.ts";
import { headersOf, type StreamStatus, sendableHeaders } from "../grpc/index.ts";
import { openGrpcStream } from "../grpc-stream/index.ts";
import { UnreadableResponse } from "./failure.ts";
import type { AdsServer, Response } from "./types.ts";
import type { Variant } from "./variant.ts";

/** DNS, TCP, TLS and HTTP/2 settings together, at most. */
const CONNECT_LIMIT_MS = 8_000;
/** As Istio's agents have it. */
const KEEPALIVE = { intervalMs: 30_000, timeoutMs: 10_000 } as const;
/** The largest pushes of large meshes have some tens of megabytes. */
const MOST_RESPONSE_BYTES = 256 * 2 ** 20;

/** A stream of discovery messages. */
export interface AdsStream extends Disposable {
  send(bytes: Uint8Array): void;
  /** Resolves with the final status. Rejects with UnreadableResponse, or what `onResponse` threw; that ends the stream. */
  readonly ended: Promise<StreamStatus>;
  /** True once the connection stands. */
  isConnected(): boolean;
}

/** Opens a stream on a connection of its own. A connection that does not stand within 8 s, or `limitMs`, ends it with UNAVAILABLE. */
export function openAdsStream(
  { address, tls, headers, proxy }: AdsServer,
  variant: Variant,
  onResponse: (response: Response) => void,
  limitMs = CONNECT_LIMIT_MS,
): AdsStream {
  let failure: { readonly error: unknown } | undefined;
  const stream = openGrpcStream({
    address,
    tls,
    proxy,
    method: variant.method,
    authority: (tls === "plaintext" ? "" : tls.serverName) || address,
    headers: sendableHeaders(headersOf("", headers), silentLogger),
    keepalive: KEEPALIVE,
    connectLimitMs: Math.min(limitMs, CONNECT_LIMIT_MS),
    mostMessageBytes: MOST_RESPONSE_BYTES,
    handler: {
      message(bytes) {
        try {
          onResponse(readResponse(bytes, variant, address));
        } catch (error) {
          failure ??= { error };
          throw error; // which ends the call
        }
      },
    },
  });
  let isConnected = false;
  void stream.connected.then((isUp) => {
    isConnected = isUp;
  });
  return {
    send: (bytes) => stream.send(bytes),
    ended: stream.status.then((status) => {
      if (failure !== undefined) throw failure.error;
      return status;
    }),
    isConnected: () => isConnected,
    [Symbol.dispose]: () => stream.close(),
  };
}

function readResponse(bytes: Uint8Array, { read, responseName }: Variant, address: string): Response {
  try {
    return read(bytes);
  } catch (error) {
    throw new UnreadableResponse(address, responseName, error);
  }
}
