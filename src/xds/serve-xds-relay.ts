import { type Metrics, systemClock } from "../base/index.ts";
import { type Announcement, Announcements } from "./announcements.ts";
import { createKeptStreams } from "./kept-streams.ts";
import { ListenerPlaces } from "./listener-places.ts";
import { TYPE_RESOURCES, TYPE_STATE, TYPE_SYNCED } from "./metrics.ts";
import type { XdsRelayOptions } from "./options.ts";
import type { Stale } from "./staleness.ts";
import { type LeftOut, StockEnvoy } from "./stock-envoy.ts";
import { SYNC_STATES, type TypeState } from "./type-states.ts";
import type { Peer, Rejection, Trouble, UpstreamState } from "./types.ts";
import { UpstreamWatch } from "./upstream-watch.ts";

/** Of Envoy's stream; of the newest one where there is no Envoy. */
export interface XdsRelayState {
  readonly upstream: UpstreamState;
  readonly rejection: Rejection | undefined;
}

/** A relay that answers on its socket until it is disposed of. Disposal cuts open streams at once. */
export interface XdsRelay extends AsyncDisposable {
  state(): XdsRelayState;
  /** Why Envoy, or a gRPC client without one, has no (good) configuration, as far as the relay knows; undefined when all is well. */
  trouble(): Trouble | undefined;
  /** What Envoy refuses and what can be done about it; undefined when it has taken the latest of all. */
  refusal(): Trouble | undefined;
  /** Why the control plane does not let this proxy in, or is not trusted; undefined when it does, or is away. */
  denial(): Trouble | undefined;
  /** The filters that Envoy was sent its configuration without. */
  leftOut(): readonly LeftOut[];
  /** Since when Envoy has its last-good configuration, which the control plane has not confirmed; undefined otherwise. */
  stale(): Stale | undefined;
  /** What Envoy (or, without one, gRPC clients) have of each type. */
  types(): readonly TypeState[];
  /**
   * Sends a request of the agent's own, which has no answer, on Envoy's stream after its first listener request; the
   * latest of a type also on each later stream. Without an Envoy, on the streams of gRPC clients.
   */
  announce(announcement: Announcement): void;
  /**
   * The next Envoy of a hot restart is started: streams that are opened from now on are its. Returns the way back, for where
   * it does not take over: what the one before has of each type, and whether that is stale.
   */
  turnToNext(): () => void;
  /** How the connection stands, in one line without its address: a state, or what is the matter. */
  describeState(): string;
}

/** What one type is like at each scrape. */
function countType(metrics: Metrics, now: () => TypeState | undefined): void {
  const type = now()?.name ?? "";
  for (const state of SYNC_STATES) metrics.gauge(TYPE_STATE, () => Number(now()?.state === state), { type, state });
  metrics.gauge(TYPE_RESOURCES, () => now()?.resources, { type });
  metrics.gauge(
    TYPE_SYNCED,
    () => {
      const syncedMs = now()?.syncedMs;
      return syncedMs === undefined ? undefined : syncedMs / 1_000;
    },
    { type },
  );
}

/**
 * Serves ADS on the socket to Envoy and to gRPC clients, and relays each stream to the control plane over a connection of its own. gRPC is
 * loaded only here, after Envoy was spawned. `stop` gives up the start; a running relay goes on without it, because a
 * draining Envoy still needs its configuration.
 */
export async function serveXdsRelay(options: XdsRelayOptions, stop: AbortSignal): Promise<XdsRelay> {
  stop.throwIfAborted();
  const log = options.log.scope("xdsproxy");
  const clock = options.clock ?? systemClock;
  const { address } = options.upstream;
  const stockEnvoy = new StockEnvoy(options.stockEnvoy ?? "refuse", log);
  const watchOf = (peer: Peer): UpstreamWatch =>
    new UpstreamWatch({
      ...{ peer, address, log, clock },
      ...(options.told === undefined ? {} : { told: options.told }),
      onType(typeUrl) {
        if (watches[peer] === watch) countType(options.metrics, () => watch.types.get(typeUrl));
      },
      ...(peer === "envoy" ? { remedyFor: (refusal: string) => stockEnvoy.remedyFor(refusal) } : {}),
    });
  const watches = { envoy: watchOf("envoy"), client: watchOf("client") };
  log.info(`Initializing with upstream address "${address}" and cluster "${options.upstream.clusterId}"`);
  const { startServer } = await import("./server.ts");
  stop.throwIfAborted();
  // the last of them sees what Envoy is sent
  const { placeListener } = options;
  const places = placeListener === undefined ? [] : [new ListenerPlaces(placeListener, log)];
  const hooks = [...places, ...(options.hooks ?? []), stockEnvoy];
  const announcements = new Announcements();
  const { lastGood, metrics } = options;
  const kept = lastGood && createKeptStreams({ lastGood, log, metrics, clock });
  const server = startServer({ ...options, log, clock, watches, hooks, announcements, kept });
  const watch = options.envoys?.() === 0 ? watches.client : watches.envoy;
  return {
    state: () => ({ upstream: watch.state, rejection: watch.rejection }),
    trouble: () => watch.trouble(),
    refusal: () => watch.refusal(),
    denial: () => watch.denial(),
    leftOut: () => stockEnvoy.leftOut,
    stale: () => kept?.stale(),
    types: () => watch.types.list(),
    announce: (announcement) => announcements.announce(announcement),
    turnToNext() {
      const waysBack = [watches.envoy.types.turnToNext(), kept?.turnToNext()];
      return () => {
        for (const goBack of waysBack) goBack?.();
      };
    },
    describeState: () => watch.describeState(),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
