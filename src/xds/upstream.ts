import {
  CallCredentials,
  ChannelCredentials,
  type ChannelOptions,
  Client,
  type ClientDuplexStream,
  status as Code,
  connectivityState,
  experimental,
  Metadata,
} from "@grpc/grpc-js";
import { type Logger, splitHostPort, type Tunnel } from "../base/index.ts";
import {
  type CallHeader,
  callMetadata,
  grpcCredentials,
  grpcTarget,
  headersOf,
  isBeingLookedUp,
  type StreamStatus,
} from "../grpc/index.ts";
import { holdOneMessage } from "./hold-one-message.ts";
import type { Keepalive, UpstreamOptions, UpstreamTls } from "./types.ts";
import type { Variant } from "./variant.ts";

/** DNS, TCP, TLS and HTTP/2 settings together; a control plane that swallows packets is reported within 10 s. */
const DEFAULT_CONNECT_TIMEOUT_MS = 8_000;

/** Measured: lifts 4 MiB pushes from 420 to 730 MB/s for a few MB of memory; 1 MiB (Istio's) gives no more. */
const FLOW_CONTROL_WINDOW_BYTES = 256 * 1_024;

/** The reference has no limit. The largest pushes of large meshes have some tens of megabytes. */
const MOST_RESPONSE_BYTES = 256 * 1_024 * 1_024;

/** One stream to the control plane on a connection of its own. */
export interface UpstreamCall {
  readonly stream: ClientDuplexStream<Buffer, Buffer>;
  /** Settles once with the final status; never rejects. */
  readonly status: Promise<StreamStatus>;
  /** Resolves with true once HTTP/2 is established, with false if the call ended before. Never rejects. */
  readonly connected: Promise<boolean>;
  /** Cancels the call if it is open, and closes the connection. */
  close(): void;
}

export interface OpenOptions {
  readonly variant: Variant;
  readonly upstream: UpstreamOptions;
  readonly keepalive: Keepalive;
  readonly log: Logger;
}

/**
 * Opens a stream. Returns at once; writes wait until the connection stands, and a connection that does not within the
 * limit ends the call with UNAVAILABLE. Rejects with a StreamStatusError when credentials cannot be had.
 */
export async function openUpstream({ variant, upstream, keepalive, log }: OpenOptions): Promise<UpstreamCall> {
  const deadlineMs = performance.now() + (upstream.connectTimeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS);
  const { credentials } = upstream;
  const tls = await until(deadlineMs, credentials.tls()).catch(failWith(Code.UNAVAILABLE, "cannot prepare TLS"));
  const token = await until(deadlineMs, credentials.metadata()).catch(
    failWith(Code.UNAUTHENTICATED, "cannot get credentials"),
  );
  const { target, options, tunnel } = grpcTarget({ experimental }, upstream.address, upstream.proxy);
  const client = new Client(target, credentialsOf(tls, upstream.address, tunnel), {
    ...channelOptions(upstream.address, tls, keepalive),
    ...options,
  });
  const metadata = callMetadata(Metadata, callHeaders(upstream, token), log);
  const stream = client.makeBidiStreamRequest(variant.method, same, same, metadata);
  holdOneMessage(stream);
  stream.on("error", () => undefined); // the status event carries the same, and always comes
  const status = new Promise<StreamStatus>((resolve) => stream.once("status", resolve));
  return {
    stream,
    status,
    connected: whenConnected(client, { stream, status, deadlineMs, address: upstream.address }),
    close() {
      stream.cancel();
      client.close();
    },
  };
}

/** Rejects when the promise has not settled by then; a hanging token fetcher must not hang Envoy's stream. */
function until<T>(deadlineMs: number, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const leftMs = Math.max(0, deadlineMs - performance.now());
    const late = (): void => reject(new Error(`timed out after ${Math.ceil(leftMs / 100) / 10}s`));
    const limit = setTimeout(late, leftMs);
    promise.then(resolve, reject).finally(() => clearTimeout(limit));
  });
}

/** A failure with the status that Envoy gets for it. */
class StreamStatusError extends Error implements StreamStatus {
  readonly code: number;
  readonly details: string;

  constructor(code: number, details: string, cause: unknown) {
    super(details, { cause });
    this.code = code;
    this.details = details;
  }
}

function failWith(code: number, what: string): (error: unknown) => never {
  return (error) => {
    throw new StreamStatusError(code, `${what}: ${error instanceof Error ? error.message : String(error)}`, error);
  };
}

const same = (bytes: Buffer): Buffer => bytes;

function credentialsOf(
  tls: UpstreamTls | "plaintext",
  address: string,
  tunnel: Tunnel | undefined,
): ChannelCredentials {
  try {
    const named = tls === "plaintext" ? tls : { ...tls, serverName: tls.serverName || hostOf(address) };
    return grpcCredentials({ CallCredentials, ChannelCredentials }, named, tunnel);
  } catch (error) {
    return failWith(Code.UNAVAILABLE, "cannot prepare TLS")(error);
  }
}

function channelOptions(address: string, tls: "plaintext" | UpstreamTls, keepalive: Keepalive): ChannelOptions {
  const serverName = tls === "plaintext" ? "" : tls.serverName;
  return {
    "grpc.default_authority": serverName || address,
    "grpc.keepalive_time_ms": keepalive.intervalMs,
    "grpc.keepalive_timeout_ms": keepalive.timeoutMs,
    "grpc.max_receive_message_length": MOST_RESPONSE_BYTES,
    "grpc.max_send_message_length": -1,
    "grpc-node.flow_control_window": FLOW_CONTROL_WINDOW_BYTES,
    "grpc.use_local_subchannel_pool": 1, // a connection per stream, never one of an earlier stream
    "grpc.enable_retries": 0, // Envoy retries; buffering for a second try would only cost memory
    "grpc.service_config_disable_resolution": 1,
    "grpc.enable_channelz": 0,
  };
}

function hostOf(address: string): string {
  const split = splitHostPort(address);
  return typeof split === "string" ? address : split.host;
}

function callHeaders({ clusterId, headers = [] }: UpstreamOptions, token: readonly [string, string][]): CallHeader[] {
  return [
    { name: "clusterid", value: clusterId, from: "ISTIO_META_CLUSTER_ID" },
    ...headersOf("XDS_HEADER_", headers),
    ...token.map(([name, value]) => ({ name, value, from: "credentials" })),
  ];
}

interface Connecting {
  readonly stream: ClientDuplexStream<Buffer, Buffer>;
  readonly status: Promise<StreamStatus>;
  /** On the clock of `performance.now()`. */
  readonly deadlineMs: number;
  readonly address: string;
}

function whenConnected(client: Client, { stream, status, deadlineMs, address }: Connecting): Promise<boolean> {
  return new Promise((resolve) => {
    const leftMs = deadlineMs - performance.now();
    const limit = setTimeout(() => {
      const why = isBeingLookedUp(address)
        ? `lookup ${hostOf(address)}: the name server does not answer`
        : "the address does not answer";
      const details = `no connection within ${Math.ceil(leftMs / 100) / 10}s: ${why}`;
      stream.call?.cancelWithStatus(Code.UNAVAILABLE, details);
    }, leftMs);
    const finish = (isConnected: boolean): void => {
      clearTimeout(limit);
      resolve(isConnected);
    };
    void status.then(() => finish(false)); // never rejects
    const channel = client.getChannel();
    const look = (): void => {
      const state = channel.getConnectivityState(false);
      if (state === connectivityState.READY) finish(true);
      else if (state === connectivityState.SHUTDOWN) finish(false);
      else channel.watchConnectivityState(state, Number.POSITIVE_INFINITY, look);
    };
    look();
  });
}
