import type { Clock, Logger } from "../base/index.ts";
import { type Keepalive, type ServerStream, serveGrpcStreams } from "../grpc-stream/index.ts";
import type { Announcements } from "./announcements.ts";
import { bridge } from "./bridge.ts";
import type { KeptStreams } from "./kept-streams.ts";
import { LiveStreams } from "./live-streams.ts";
import { LARGEST_REQUEST } from "./metrics.ts";
import type { XdsRelayOptions } from "./options.ts";
import type { ResponseHook } from "./response-hooks.ts";
import type { Peer } from "./types.ts";
import type { UpstreamWatch } from "./upstream-watch.ts";
import { DELTA, SOTW, type Variant } from "./variant.ts";

export interface ServerParts {
  readonly log: Logger;
  readonly clock: Clock;
  readonly watches: Readonly<Record<Peer, UpstreamWatch>>;
  readonly hooks: readonly ResponseHook[];
  readonly announcements: Announcements;
  readonly kept: KeptStreams | undefined;
}

type Options = Omit<XdsRelayOptions, "stockEnvoy"> & ServerParts;
type Settled = Options & { readonly keepalive: Keepalive; readonly maxRequestBytes: number };

const DEFAULT_MAX_REQUEST_BYTES = 64 * 1_024 * 1_024;
const DEFAULT_MAX_STREAMS = 100_000;
/** Each has a connection of its own to the control plane. */
const DEFAULT_MAX_CLIENTS = 100;
/** Istio's `GRPC_KEEPALIVE_INTERVAL` and `GRPC_KEEPALIVE_TIMEOUT`. */
const DEFAULT_KEEPALIVE: Keepalive = { intervalMs: 30_000, timeoutMs: 10_000 };

/** Serves both ADS methods on the socket; everything else is UNIMPLEMENTED. */
export function startServer(options: Options): AsyncDisposable {
  const keepalive = options.keepalive ?? DEFAULT_KEEPALIVE;
  const maxRequestBytes = options.maxRequestBytes ?? DEFAULT_MAX_REQUEST_BYTES;
  const streams = new Streams({ ...options, keepalive, maxRequestBytes });
  const server = serveGrpcStreams({
    socket: options.socket,
    methods: {
      [SOTW.method]: (stream) => streams.take(SOTW, stream),
      [DELTA.method]: (stream) => streams.take(DELTA, stream),
    },
    maxStreams: options.maxStreams ?? DEFAULT_MAX_STREAMS,
    keepalive,
  });
  return {
    async [Symbol.asyncDispose]() {
      server[Symbol.dispose]();
      await streams.endAll();
    },
  };
}

/** Bridges each stream, as long as LiveStreams lets it. */
class Streams {
  readonly #options: Settled;
  readonly #running = new Set<Promise<void>>();
  readonly #live: LiveStreams;
  #lastId = 0;
  #largestRequest = 0;

  constructor(options: Settled) {
    const { envoys = () => 1, maxClients = DEFAULT_MAX_CLIENTS, log } = options;
    this.#options = options;
    this.#live = new LiveStreams({ envoys, maxClients, log });
  }

  take(variant: Variant, downstream: ServerStream): void {
    const { intercept, envoys } = this.#options;
    const stream = this.#live.enter();
    const running = bridge(
      downstream,
      {
        ...this.#options,
        id: ++this.#lastId,
        variant,
        peer: envoys?.() === 0 ? "client" : undefined,
        onPeer: (peer) => stream.identify(peer),
        intercept: new Map(Object.entries(intercept)), // the control plane chooses the names that are looked up
        noteRequestSize: (bytes) => this.#noteRequestSize(bytes),
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
