import { Server, ServerCredentials, type ServiceDefinition, type UntypedServiceImplementation } from "@grpc/grpc-js";
import type { Clock, Logger } from "../base/index.ts";
import { bridge, type Downstream } from "./bridge.ts";
import type { XdsRelayOptions } from "./options.ts";
import type { Keepalive } from "./types.ts";
import type { UpstreamWatch } from "./upstream-watch.ts";
import { DELTA, SOTW, type Variant } from "./variant.ts";

export interface ServerParts {
  readonly log: Logger;
  readonly clock: Clock;
  readonly watch: UpstreamWatch;
}

const DEFAULT_MAX_REQUEST_BYTES = 64 * 1_024 * 1_024;
const DEFAULT_MAX_STREAMS = 100_000;
/** Istio's `GRPC_KEEPALIVE_INTERVAL` and `GRPC_KEEPALIVE_TIMEOUT`. */
const DEFAULT_KEEPALIVE: Keepalive = { intervalMs: 30_000, timeoutMs: 10_000 };

/** Serves both ADS methods on the socket; everything else is UNIMPLEMENTED. */
export function startServer(options: XdsRelayOptions & ServerParts): AsyncDisposable {
  const keepalive = options.keepalive ?? DEFAULT_KEEPALIVE;
  const server = new Server({
    "grpc.keepalive_time_ms": keepalive.intervalMs,
    "grpc.keepalive_timeout_ms": keepalive.timeoutMs,
    "grpc.max_concurrent_streams": options.maxStreams ?? DEFAULT_MAX_STREAMS,
    "grpc.max_receive_message_length": -1, // the bridge checks, because only it can log and count
    "grpc.max_send_message_length": -1,
    "grpc.enable_channelz": 0,
  });
  const streams = new Streams(options, keepalive);
  server.addService(
    definition(),
    implementation((variant, stream) => streams.take(variant, stream)),
  );
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  options.socket.handOver((connection) => injector.injectConnection(connection));
  return {
    async [Symbol.asyncDispose]() {
      injector.destroy();
      server.forceShutdown();
      await streams.endAll();
    },
  };
}

/** The live streams; normally one. A new one ends the oldest, as in Istio: an Envoy has only one that counts. */
class Streams {
  readonly #options: XdsRelayOptions & ServerParts;
  readonly #keepalive: Keepalive;
  readonly #running = new Set<Promise<void>>();
  /** Of the live streams, the oldest first. */
  readonly #current: AbortController[] = [];
  #lastId = 0;
  #largestRequest = 0;

  constructor(options: XdsRelayOptions & ServerParts, keepalive: Keepalive) {
    this.#options = options;
    this.#keepalive = keepalive;
  }

  take(variant: Variant, stream: Downstream): void {
    const { upstream, intercept, watch, log, metrics, clock, maxRequestBytes } = this.#options;
    const mine = this.#register();
    const running = bridge(
      stream,
      {
        id: ++this.#lastId,
        variant,
        upstream,
        keepalive: this.#keepalive,
        intercept: new Map(Object.entries(intercept)), // the control plane chooses the names that are looked up
        maxRequestBytes: maxRequestBytes ?? DEFAULT_MAX_REQUEST_BYTES,
        noteRequestSize: (bytes) => this.#noteRequestSize(bytes),
        watch,
        log,
        metrics,
        clock,
      },
      mine.signal,
    ).finally(() => {
      this.#running.delete(running);
      this.#forget(mine);
    });
    this.#running.add(running);
  }

  async endAll(): Promise<void> {
    for (const stream of this.#current) stream.abort();
    await Promise.all(this.#running);
  }

  #register(): AbortController {
    const mine = new AbortController();
    this.#current.push(mine);
    for (let over = this.#current.length - (this.#options.clients?.() ?? 1); over > 0; over--) {
      this.#options.log.warn("registered overlapping stream; closing previous");
      this.#current.shift()?.abort();
    }
    return mine;
  }

  #forget(stream: AbortController): void {
    const at = this.#current.indexOf(stream);
    if (at >= 0) this.#current.splice(at, 1);
  }

  #noteRequestSize(bytes: number): void {
    if (bytes < this.#largestRequest) return;
    this.#largestRequest = bytes;
    this.#options.metrics.gauge("pilot_xds_recv_max", bytes);
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
