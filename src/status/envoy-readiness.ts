import {
  type Clock,
  describeError,
  formatGoDuration,
  fromMs,
  type Logger,
  type Metrics,
  MOST_BODY_BYTES,
  systemClock,
} from "../base/index.ts";
import {
  ALL_UPDATE_STATS_PATH,
  missingConfig,
  missingLiveness,
  notReadyStats,
  READY_STATS_PATH,
  UPDATE_STATS_PATH,
} from "./envoy-stats.ts";
import { httpGet } from "./http-get.ts";
import { STARTUP_DURATION } from "./metrics.ts";
import type { Cause, ReadinessCheck, Shortfall } from "./readiness-board.ts";
import { INIT_DUMP_PATH, readInitDump, Warming } from "./warming.ts";

/** Asks Envoy's admin API. Rejects when it cannot be reached or does not answer with 200 within `timeoutMs`. */
export type AdminGet = (path: string, timeoutMs: number) => Promise<string>;

export interface EnvoyReadinessOptions {
  readonly adminGet: AdminGet;
  /** Why Envoy may lack configuration, as far as the agent knows; default: unknown. */
  readonly because?: () => readonly Cause[];
  /** What Envoy refuses and what can be done about it, or why the control plane refuses the agent: the only cause then; default: nothing is known. */
  readonly refusal?: () => Cause | undefined;
  /** Which Envoy there is; default: always the same one. */
  readonly presence?: () => EnvoyPresence;
  /** The user's own configuration may be without clusters or listeners from a control plane: then none are awaited. Default false. */
  readonly mayBeStatic?: boolean;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** When the process began, in milliseconds since the epoch. */
  readonly startedMs: number;
  readonly clock?: Clock;
}

/** Why there is no Envoy; or how many ended by themselves before the one that is there. */
export type EnvoyPresence = { readonly goneBecause: string } | { readonly restarts: number };

/** Source of both: istio/istio pilot/cmd/pilot-agent/status/util/stats.go. */
const UPDATE_STATS_TIMEOUT_MS = 1_000;
const READY_STATS_TIMEOUT_MS = 3_000;
const WARMING_AFTER_MS = 2_000;

/** The admin API of an Envoy at `host:port`. An answer has at most `mostBytes`, default 16 MiB. */
export function adminAccess(host: string, port: number, mostBytes = MOST_BODY_BYTES): AdminGet {
  return (path, timeoutMs) => httpGet({ host, port, path, timeoutMs, mostBytes });
}

/**
 * May be asked by several at the same time, who share a look. Ready once Envoy has accepted clusters and listeners, is live,
 * and its workers run. Both steps are remembered, so a busy Envoy is not declared unready later; one that was restarted has to
 * take them again. The first success records `startup_duration_seconds`.
 */
export function envoyReadiness(options: EnvoyReadinessOptions): ReadinessCheck {
  const presence = options.presence ?? (() => ({ restarts: 0 }));
  let look: (() => Promise<Shortfall | undefined>) | undefined;
  let of: number | undefined;
  let wasReady = false;
  const noteReady = (nowMs: number): void => {
    if (!wasReady) noteFirstReady(options, nowMs);
    wasReady = true;
  };
  const ask = async (): Promise<Shortfall | undefined> => {
    const now = presence();
    if ("goneBecause" in now) return { phrase: now.goneBecause, causes: [] };
    if (look === undefined || now.restarts !== of) look = lookAtOne(options, noteReady);
    of = now.restarts;
    const found = await look();
    const then = presence();
    const isStillThere = "restarts" in then && then.restarts === now.restarts;
    return found === undefined && !isStillThere ? ask() : found;
  };
  let asking: ReturnType<typeof ask> | undefined;
  return {
    name: "envoy",
    check() {
      asking ??= ask().finally(() => {
        asking = undefined;
      });
      return asking;
    },
  };
}

/** Looks at one Envoy, of which it remembers how far it has come. */
function lookAtOne(options: EnvoyReadinessOptions, noteReady: (nowMs: number) => void) {
  const { adminGet, because = () => [], refusal = () => undefined, mayBeStatic = false, clock = systemClock } = options;
  const updatePath = mayBeStatic ? ALL_UPDATE_STATS_PATH : UPDATE_STATS_PATH;
  let stage: "configuring" | "starting" | "ready" = "configuring";
  const warming = new Warming();
  let firstAskedMs: number | undefined;
  /** What Envoy waits for, once it is no longer the ordinary start: an answer more would slow that down. */
  const withAwaited = async (phrase: string, causes: readonly Cause[]): Promise<Shortfall> => {
    firstAskedMs ??= clock.now();
    if (clock.now() - firstAskedMs < WARMING_AFTER_MS) return { phrase, causes };
    const awaited = await adminGet(INIT_DUMP_PATH, UPDATE_STATS_TIMEOUT_MS)
      .then(readInitDump)
      .catch(() => []); // the reason stands without it
    const waiting = warming.describe(awaited, clock.now());
    return { phrase, causes: waiting === undefined ? causes : [...causes, { kind: "warming", ...waiting }] };
  };
  return async (): Promise<Shortfall | undefined> => {
    if (stage === "configuring") {
      const stats = await adminGet(updatePath, UPDATE_STATS_TIMEOUT_MS).catch(adminFailure);
      const refused = refusal();
      const phrase = missingConfig(stats, mayBeStatic, refused?.kind);
      if (phrase !== undefined)
        return refused === undefined ? withAwaited(phrase, because()) : { phrase, causes: [refused] };
      stage = "starting";
    }
    if (stage === "starting") {
      const phrase = await adminGet(READY_STATS_PATH, READY_STATS_TIMEOUT_MS)
        .then(missingLiveness)
        .catch((error: unknown) => notReadyStats(describeError(error)));
      if (phrase !== undefined) return withAwaited(phrase, []);
      stage = "ready";
      noteReady(clock.now());
    }
    return undefined;
  };
}

function adminFailure(error: unknown): never {
  throw new Error(`Envoy's admin API: ${describeError(error)}`, { cause: error });
}

function noteFirstReady({ metrics, log, startedMs }: EnvoyReadinessOptions, nowMs: number): void {
  const tookMs = nowMs - startedMs;
  metrics.gauge(STARTUP_DURATION, tookMs / 1_000);
  log.info(`Readiness succeeded in ${formatGoDuration(fromMs(tookMs))}`);
}
