import { join } from "node:path";
import { type BoundSocket, bindUnix, connectionLimit, type Lifetime, poll, utcTime } from "../../base/index.ts";
import type { AgentConfig } from "../../config/index.ts";
import type { LastGood } from "../../last-good/index.ts";
import type { NodeDescription } from "../../node/index.ts";
import type { LeftOut, Stale, Trouble, TypeState, XdsRelay, XdsRelayOptions } from "../../xds/index.ts";
import type { Obstacle } from "../reload/index.ts";
import { type ClaimedFolder, dataFolder, inRunFolder, socketAccess, xdsSocketPath } from "../run-folder/index.ts";
import { hasOwnDocument, isProxyless } from "../start-envoy/index.ts";
import type { IdentityPart } from "./identity.ts";
import { lastGoodOwner } from "./last-good-owner.ts";
import type { Part, Serving, Surroundings } from "./part.ts";

/** Its rows of the report. */
export interface XdsReport {
  readonly controlPlane: { readonly address: string; readonly state: string };
  /** Each type that Envoy subscribed to, in that order. */
  readonly xds: readonly TypeState[];
  /** Filters that this Envoy does not have, and was sent its configuration without. */
  readonly leftOut: readonly LeftOut[];
  /** Only while Envoy has its last-good configuration, which the control plane has not confirmed. */
  readonly stale?: Stale;
}

export interface XdsNeeds {
  readonly identity: IdentityPart;
  /** How many Envoys may use the relay at the same time. */
  readonly envoys: () => number;
  /** Who intercepts and hooks. */
  readonly parts: () => readonly Part[];
}

/** More than the relay takes for a connection at most. */
const STREAM_LIMIT_MS = 10_000;

/** The relay between Envoy, or gRPC clients, and the control plane. */
export class XdsPart implements Part {
  readonly #around: Surroundings;
  readonly #needs: XdsNeeds;
  readonly #hasListeners = new AbortController();
  /** Undefined when Envoy may become ready without asking the relay for anything. */
  readonly readySoon: AbortSignal | undefined;
  #socket: BoundSocket | undefined;
  #relay: XdsRelay | undefined;
  #lastGood: LastGood | undefined;

  constructor(around: Surroundings, needs: XdsNeeds) {
    this.#around = around;
    this.#needs = needs;
    const { settings } = around.config;
    this.readySoon = hasOwnDocument(around.config) && !settings.isEnvoyDisabled ? this.#hasListeners.signal : undefined;
  }

  lasting(config: AgentConfig): Record<string, unknown> {
    return {
      socket: [xdsSocketPath(config), socketAccess(config)],
      ...upstreamOptions(config),
      ...relayOptions(config),
      lastGood: [config.settings.isLastGoodKept, config.settings.lastGoodFolder, config.settings.lastGoodBytes],
    };
  }

  async bind(life: Lifetime, folder: Promise<ClaimedFolder>): Promise<void> {
    await folder;
    const { config } = this.#around;
    const how = { ...socketAccess(config), limit: connectionLimit() };
    this.#socket = await life.own("xds socket", bindUnix(xdsSocketPath(config), how));
  }

  async serve({ life, node }: Serving): Promise<void> {
    if (this.#socket === undefined) throw new Error("served before it was bound");
    const { config, context, metrics, timeline, stop } = this.#around;
    const { identity, envoys } = this.#needs;
    const parts = this.#needs.parts();
    const { serveXdsRelay } = await import("../../xds/index.ts");
    const credentials = await identity.credentials(life);
    this.#lastGood = await this.#openLastGood({ life, node });
    const options: XdsRelayOptions = {
      ...relayOptions(config),
      socket: this.#socket,
      upstream: { ...upstreamOptions(config), credentials },
      intercept: Object.assign({}, ...parts.map((part) => part.intercepts ?? {})),
      placeListener: context.placeListener,
      hooks: parts.flatMap((part) => part.hooks ?? []),
      envoys: () => (isProxyless(config, node) ? 0 : Math.max(1, envoys())),
      ...(identity.told === undefined ? {} : { told: identity.told }),
      lastGood: this.#lastGood,
      onRequest: () => timeline.mark("first xds request"),
      onListeners: () => this.#hasListeners.abort(),
      log: context.log,
      metrics,
    };
    this.#relay = await life.own("xds", serveXdsRelay(options, stop));
    timeline.mark("grpc loaded");
  }

  /** Undefined where nothing is kept, or there is no Envoy that starts without a configuration. */
  async #openLastGood({ life, node }: Pick<Serving, "life" | "node">): Promise<LastGood | undefined> {
    const { config, context, metrics } = this.#around;
    const { settings } = config;
    if (!settings.isLastGoodKept || isProxyless(config, node)) return undefined;
    const { openLastGood } = await import("../../last-good/index.ts");
    const lastGood = openLastGood({
      folder: await lastGoodFolder(config),
      owner: lastGoodOwner(config, node),
      mostBytes: settings.lastGoodBytes,
      log: context.log,
      metrics,
    });
    return life.own("last-good configuration", lastGood);
  }

  /** Tells the control plane what it has not asked for; once more on each stream to come. */
  announce(announcement: Parameters<XdsRelay["announce"]>[0]): void {
    this.#relay?.announce(announcement);
  }

  /** Why Envoy, or a gRPC client without one, has no (good) configuration, as far as the relay knows. */
  trouble(): Trouble | undefined {
    return this.#relay?.trouble();
  }

  /** What Envoy refuses and what can be done about it, or why the control plane refuses the agent; undefined when neither does. */
  refusal(): Trouble | undefined {
    return this.#relay?.refusal() ?? this.#relay?.denial();
  }

  /** Of the last failure to connect. */
  failureReason(): string | undefined {
    const upstream = this.#relay?.state().upstream;
    return upstream !== undefined && "failure" in upstream ? upstream.failure?.reason : undefined;
  }

  /**
   * Why an Envoy of that configuration and node that came up now would get no configuration; undefined where it gets one,
   * or the control plane was never asked.
   */
  async whyNextIsUnconfigured(config: AgentConfig, node: NodeDescription): Promise<Obstacle | undefined> {
    const relay = this.#relay;
    if (relay === undefined) return undefined;
    await this.#waitForUpstreamState(relay);
    const { upstream } = relay.state();
    const { kind } = upstream;
    if (kind === "connected" || kind === "responding") return undefined;
    if (kind === "idle" && !hasOwnDocument(this.#around.config)) return undefined;
    const reason = relay.trouble()?.text ?? kind;
    const isAway = "failure" in upstream && upstream.failure?.isAway === true;
    if (!isAway) return { reason }; // a refusal, too: nothing stands in for a control plane that answers
    const hint = "Reload again once the control plane answers";
    if (this.#lastGood === undefined)
      return { reason, hint: `${hint}, or keep the last-good configuration (PILOTBOAT_LAST_GOOD)` };
    if (await this.#lastGood.isWhole(lastGoodOwner(config, node))) return undefined;
    const missing = "there is no last-good configuration of the next Envoy's labels, network and ISTIO_META_*";
    return { reason: `${reason}, and ${missing}`, hint };
  }

  /** Between two streams of Envoy's nothing is known: it opens the next one after a moment, and connecting takes another. */
  async #waitForUpstreamState(relay: XdsRelay): Promise<void> {
    if (!hasOwnDocument(this.#around.config)) return; // it may never open one
    const isKnown = async (): Promise<boolean> => {
      const { upstream } = relay.state();
      if ("failure" in upstream && upstream.failure !== undefined) return true;
      return upstream.kind === "connected" || upstream.kind === "responding";
    };
    await poll(isKnown, { stop: AbortSignal.any([this.#around.stop, AbortSignal.timeout(STREAM_LIMIT_MS)]) });
  }

  /** Keeps for an Envoy of that configuration and node from now on. Returns the way back, for one that does not take over. */
  keepForNext(config: AgentConfig, node: NodeDescription): () => void {
    const waysBack = [this.#lastGood?.turnTo(lastGoodOwner(config, node)), this.#relay?.turnToNext()];
    return () => {
      for (const goBack of waysBack) goBack?.();
    };
  }

  report(): XdsReport {
    const state = this.#relay?.describeState() ?? "starting";
    const stale = this.#relay?.stale();
    return {
      controlPlane: { address: this.#around.config.proxy.discoveryAddress, state },
      xds: this.#relay?.types() ?? [],
      leftOut: this.#relay?.leftOut() ?? [],
      ...(stale === undefined ? {} : { stale }),
    };
  }

  notes(): readonly string[] {
    const { stale, leftOut, controlPlane } = this.report();
    const reason = `control plane "${controlPlane.address}": ${controlPlane.state}`;
    return [
      ...(stale === undefined ? [] : [`stale: ${describeStale(stale)}; ${reason}`]),
      ...leftOut.map(describeLeftOut),
    ];
  }
}

function upstreamOptions({ proxy, settings, xdsHeaders, egressProxy }: AgentConfig) {
  return {
    address: proxy.discoveryAddress,
    clusterId: settings.clusterId,
    headers: xdsHeaders,
    proxy: egressProxy,
  };
}

/** Beside the modules of Wasm: in a pod that lies on disk, and `configPath` in memory. */
async function lastGoodFolder(config: AgentConfig): Promise<string> {
  const { settings, proxy } = config;
  const folder = settings.lastGoodFolder || join(dataFolder(proxy.configPath), "last-good");
  return inRunFolder(config, folder);
}

function relayOptions({ settings }: AgentConfig) {
  return {
    maxRequestBytes: settings.maxRequestBytes,
    maxStreams: settings.maxStreams,
    maxClients: settings.maxXdsClients,
    stockEnvoy: settings.stockEnvoy,
    keepalive: { intervalMs: settings.keepaliveIntervalMs, timeoutMs: settings.keepaliveTimeoutMs },
  };
}

function describeStale({ acceptedMs }: Stale): string {
  return `Envoy has the last configuration that it accepted, of ${utcTime(acceptedMs)}`;
}

/** One line for people. */
function describeLeftOut({ filter, type, lost }: LeftOut): string {
  return `left out, because this Envoy does not have it: "${filter}" (${type}); lost: ${lost}`;
}
