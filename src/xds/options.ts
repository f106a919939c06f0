import type { BoundSocket, Clock, Logger, Metrics } from "../base/index.ts";
import type { ToldReasons } from "../grpc/index.ts";
import type { Keepalive } from "../grpc-stream/index.ts";
import type { LastGood } from "./last-good.ts";
import type { PlaceListener } from "./listener-places.ts";
import type { ResponseHook } from "./response-hooks.ts";
import type { StockEnvoyMode } from "./stock-envoy.ts";
import type { Intercept, UpstreamOptions } from "./types.ts";

export interface XdsRelayOptions {
  /** Bound by the caller, who also closes it; connections that came early are served first. */
  readonly socket: BoundSocket;
  readonly upstream: UpstreamOptions;
  /** Handlers by type URL; each such type is also subscribed to, in this order, after Envoy's first listener request. */
  readonly intercept: Readonly<Record<string, Intercept>>;
  /** Largest message taken from Envoy. Default 64 MiB; Istio's `ISTIO_GPRC_MAXRECVMSGSIZE` is 4 MiB. */
  readonly maxRequestBytes?: number;
  /** Default 100000, as in Istio (`ISTIO_GPRC_MAXSTREAMS`). */
  readonly maxStreams?: number;
  /**
   * How many Envoys may have a stream at the same time: more than one during a hot restart, none where there is no Envoy
   * and every stream is a gRPC client's. Default: one.
   */
  readonly envoys?: () => number;
  /** How many streams of gRPC clients are kept; one more is refused with RESOURCE_EXHAUSTED. Default 100. */
  readonly maxClients?: number;
  /** What becomes of filters that Envoy does not have. Default `refuse`: they are passed on, and Envoy refuses them. */
  readonly stockEnvoy?: StockEnvoyMode;
  /** Where Envoy's listeners shall be. Default: where the control plane wants them. */
  readonly placeListener?: PlaceListener | undefined;
  /** See responses on their way to Envoy, in this order. Default: none but the relay's own. */
  readonly hooks?: readonly ResponseHook[];
  /** Remembers what Envoy accepts, and answers with it while the control plane is away. Default: nobody does. */
  readonly lastGood?: LastGood | undefined;
  /** For both sides. Default: ping after 30 s, give up after 10 s more. */
  readonly keepalive?: Keepalive;
  /** What others tell of the same control plane, when it cannot be reached. Default: nothing. */
  readonly told?: ToldReasons;
  /** Called for each request that leaves for the control plane. */
  readonly onRequest?: (() => void) | undefined;
  /** Called each time that Envoy accepts listeners. */
  readonly onListeners?: (() => void) | undefined;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock?: Clock;
}
