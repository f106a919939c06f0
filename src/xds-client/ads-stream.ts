import {
  CallCredentials,
  ChannelCredentials,
  Client,
  type ClientDuplexStream,
  connectivityState,
  experimental,
  Metadata,
} from "@grpc/grpc-js";
import { silentLogger } from "../base/index.ts";
import { Code, callMetadata, grpcCredentials, grpcTarget, headersOf, type StreamStatus } from "../grpc/index.ts";
import { UnreadableResponse } from "./failure.ts";
import type { AdsServer, Response } from "./types.ts";
import type { Variant } from "./variant.ts";

/** DNS, TCP, TLS and HTTP/2 settings together. */
const CONNECT_LIMIT_MS = 8_000;
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

/** Opens a stream on a connection of its own. A connection that does not stand within 8 s ends it with UNAVAILABLE. */
export function openAdsStream(
  server: AdsServer,
  variant: Variant,
  onResponse: (response: Response) => void,
): AdsStream {
  const { target, options, tunnel } = grpcTarget({ experimental }, server.address, server.proxy);
  const client = new Client(target, grpcCredentials({ CallCredentials, ChannelCredentials }, server.tls, tunnel), {
    "grpc.default_authority": (server.tls === "plaintext" ? "" : server.tls.serverName) || server.address,
    "grpc.max_receive_message_length": MOST_RESPONSE_BYTES,
    "grpc.max_send_message_length": -1,
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.use_local_subchannel_pool": 1,
    "grpc.enable_retries": 0,
    "grpc.service_config_disable_resolution": 1,
    "grpc.enable_channelz": 0,
    ...options,
  });
  const metadata = callMetadata(Metadata, headersOf("", server.headers), silentLogger);
  const stream: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(variant.method, same, same, metadata);
  stream.on("error", () => undefined); // the status event carries the same, and always comes
  let isReady = false;
  const limit = setTimeout(() => {
    if (isConnected()) return;
    const details = `no connection within ${CONNECT_LIMIT_MS / 1_000} s: the address does not answer`;
    stream.call?.cancelWithStatus(Code.UNAVAILABLE, details);
  }, CONNECT_LIMIT_MS);
  const isConnected = (): boolean => {
    isReady ||= client.getChannel().getConnectivityState(false) === connectivityState.READY;
    return isReady;
  };
  const ended = new Promise<StreamStatus>((resolve, reject) => {
    stream.once("status", resolve);
    stream.on("data", (bytes: Buffer) => {
      try {
        onResponse(readResponse(bytes, variant, server.address));
      } catch (error) {
        reject(error);
        stream.cancel();
      }
    });
  }).finally(() => clearTimeout(limit));
  return {
    ended,
    isConnected,
    send: (bytes) => void stream.write(Buffer.from(bytes)),
    [Symbol.dispose]() {
      clearTimeout(limit);
      stream.cancel();
      client.close();
    },
  };
}

function readResponse(bytes: Uint8Array, { read, responseName }: Variant, address: string): Response {
  try {
    return read(bytes);
  } catch (error) {
    throw new UnreadableResponse(address, responseName, error);
  }
}

const same = (bytes: Buffer): Buffer => bytes;
