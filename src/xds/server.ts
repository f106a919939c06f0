import { Server, ServerCredentials, type ServiceDefinition, type UntypedServiceImplementation } from "@grpc/grpc-js";
import type { Clock, Logger } from "../base/index.ts";
import { serveGrpcConnections } from "../grpc/index.ts";
import type { Announcements } from "./announcements.ts";
import { bridge, type Downstream } from "./bridge.ts";
import { LiveStreams } from "./live-streams.ts";
import { LARGEST_REQUEST } from "./metrics.ts";
import type { XdsRelayOptions } from "./options.ts";
import type { ResponseHook } from "./response-hooks.ts";
import type { Keepalive, Peer } from "./types.ts";
import type { UpstreamWatch } from "./upstream-watch.ts";
import { DELTA, SOTW, type Variant } from "./variant.ts";

export interface ServerParts {
  readonly log: Logger;
  readonly clock: Clock;
  readonly watches: Readonly<Record<Peer, UpstreamWatch>>;
  readonly hooks: readonly ResponseHook[];
  readonly announcements: Announcements;
}

type Options = Omit<XdsRelayOptions, "stockEnvoy"> & ServerParts;

const DEFAULT_MAX_REQUEST_BYTES = 64 * 1_024 * 1_024;
/** So far above the limit a request is still read, because only the bridge can log and count it. */
const REPORTED_BYTES = 4 * 1_024 * 1_024;
const DEFAULT_MAX_STREAMS = 100_000;
/** Each has a connection of its own to the control plane. */
const DEFAULT_MAX_CLIENTS = 100;
/** Istio's `GRPC_KEEPALIVE_INTERVAL` and `GRPC_KEEPALIVE_TIMEOUT`. */
const DEFAULT_KEEPALIVE: Keepalive = { intervalMs: 30_000, timeoutMs: 10_000 };

/** Serves both ADS methods on the socket; everything else is UNIMPLEMENTED. */
export function startServer(options: Options): AsyncDisposable {
  const keepalive = options.keepalive ?? DEFAULT_KEEPALIVE;
  const maxRequestBytes = options.maxRequestBytes ?? DEFAULT_MAX_REQUEST_BYTES;
  const server = new Server({
    "grpc.keepalive_time_ms": keepalive.intervalMs,
    "grpc.keepalive_timeout_ms": keepalive.timeoutMs,
    "grpc.max_concurrent_streams": options.maxStreams ?? DEFAULT_MAX_STREAMS,
    "grpc.max_receive_message_length": maxRequestBytes + REPORTED_BYTES,
    "grpc.max_send_message_length": -1,
    "grpc.enable_channelz": 0,
  });
  const streams = new Streams(options, keepalive);
  server.addService(
    definition(),
    implementation((variant, stream) => {
      connections.noteCall(stream);
      streams.take(variant, stream);
    }),
  );
  const connections = serveGrpcConnections(server, ServerCredentials.createInsecure(), options.socket);
  return {
    async [Symbol.asyncDispose]() {
      connections.destroy();
      server.forceShutdown();
      await streams.endAll();
    },
  };
}

/** Bridges each stream, as long as LiveStreams lets it. */
class Streams {
  readonly #options: Options;
  readonly #keepalive: Keepalive;
  readonly #running = new Set<Promise<void>>();
  readonly #live: LiveStreams;
  #lastId = 0;
  #largestRequest = 0;

  constructor(options: Options, keepalive: Keepalive) {
    const { envoys = () => 1, maxClients = DEFAULT_MAX_CLIENTS, log } = options;
    this.#options = options;
    this.#keepalive = keepalive;
    this.#live = new LiveStreams({ envoys, maxClients, log });
  }

  take(variant: Variant, downstream: Downstream): void {
    const {
      upstream,
      intercept,
      watches,
      hooks,
      announcements,
      log,
      metrics,
      clock,
      maxRequestBytes,
      envoys,
      onRequest,
      onListeners,
    } = this.#options;
    const stream = this.#live.enter();
    const running = bridge(
      downstream,
      {
        id: ++this.#lastId,
        variant,
        peer: envoys?.() === 0 ? "client" : undefined,
        onPeer: (peer) => stream.identify(peer),
        upstream,
        keepalive: this.#keepalive,
        intercept: new Map(Object.entries(intercept)), // the control plane chooses the names that are looked up
        maxRequestBytes: maxRequestBytes ?? DEFAULT_MAX_REQUEST_BYTES,
        noteRequestSize: (bytes) => this.#noteRequestSize(bytes),
        watches,
        hooks,
        announcements,
        log,
        metrics,
        onRequest,
        onListeners,
        clock,
      },
      stream.cut,
    ).finally(() => {
      this.#running.delete(running);
      stream.leave();
    });
    this.#running.add(running);
  }

  async endAll(): Promise<void> {
    this.#live.endAll();
    await Promise.all(this.#running);
  }

  #noteRequestSize(bytes: number): void {
    if (bytes < this.#largestRequest) return;
    this.#largestRequest = bytes;
    this.#options.metrics.gauge(LARGEST_REQUEST, bytes);
  }
}

const same = (bytes: Buffer): Buffer => bytes;

function definition(): ServiceDefinition {
  const method = ({ method: path }: Variant) => ({
    path,
    requestStream: true,
    responseStream: true,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  });
  return { sotw: method(SOTW), delta: method(DELTA) };
}

function implementation(take: (variant: Variant, stream: Downstream) => void): UntypedServiceImplementation {
  return {
    sotw: (stream: Downstream) => take(SOTW, stream),
    delta: (stream: Downstream) => take(DELTA, stream),
  };
}
