import {
  AgentError,
  type Clock,
  describeError,
  type Logger,
  type Metrics,
  type StopSignals,
  systemClock,
} from "../base/index.ts";
import type { AdminClient } from "./admin-client.ts";
import { type ChildEnd, describeEnd, type EnvoyChild, exitCodeOf, type SpawnOptions, spawnEnvoy } from "./child.ts";
import { couldNotStart, decideRestart, type RestartPolicy, type RunRecord } from "./restart-policy.ts";
import { type DrainOptions, requestDrain, stopEnvoy } from "./stop-envoy.ts";

export interface SuperviseOptions {
  readonly spawn: SpawnOptions;
  readonly admin: AdminClient;
  readonly drain: DrainOptions;
  readonly restart: RestartPolicy;
  readonly signals: Pick<StopSignals, "hurry" | "force">;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock?: Clock;
  readonly onSpawn?: (pid: number) => void;
}

/** What the supervisor's child is doing; each state carries what is known in it. */
export type EnvoyState =
  | { readonly kind: "starting"; readonly pid: number; readonly sinceMs: number }
  | { readonly kind: "running"; readonly pid: number; readonly sinceMs: number }
  | { readonly kind: "stopping"; readonly pid: number; readonly sinceMs: number }
  | { readonly kind: "waiting"; readonly attempt: number; readonly untilMs: number; readonly last: ChildEnd }
  | { readonly kind: "ended"; readonly end: EnvoyEnd };

/** Why there is no Envoy any more. */
export type EnvoyEnd =
  | { readonly by: "us" }
  | { readonly by: "itself"; readonly end: ChildEnd; readonly message: string; readonly lastLines: readonly string[] };

/** A supervised Envoy: there is a child, or one is about to be started again. */
export interface SupervisedEnvoy extends AsyncDisposable {
  state(): EnvoyState;
  /** Settles once, when there will be no further child; never rejects. */
  readonly ended: Promise<EnvoyEnd>;
  /** `POST /drain`: drains and lets Envoy run on; the end then comes without waiting. */
  drain(): Promise<void>;
  /** The next stop is immediate (`POST /quitquitquit`). */
  skipDrain(): void;
  /** Drains as configured and ends Envoy. Calling again returns the same promise. */
  [Symbol.asyncDispose](): Promise<void>;
}

const LIVE_POLL_MS = 50;
const LIVE_LIMIT_MS = 1_000;

/**
 * Starts Envoy and keeps it as the policy says. Rejects with ENVOY_NOT_FOUND, ENVOY_NOT_EXECUTABLE or
 * ENVOY_START_FAILED when the first child cannot be spawned.
 */
export async function superviseEnvoy(options: SuperviseOptions): Promise<SupervisedEnvoy> {
  const { log, clock = systemClock } = options;
  const stopping = new AbortController();
  const history: RunRecord[] = [];
  let isDrained = false;
  let child = await spawnEnvoy(options.spawn);
  let state: EnvoyState = { kind: "starting", pid: child.pid, sinceMs: clock.now() };

  const run = async (): Promise<EnvoyEnd> => {
    for (;;) {
      const record = await watchOne(child);
      if (stopping.signal.aborted) return { by: "us" };
      history.push(record);
      const next = decideRestart(options.restart, history);
      logEnd(record, child, log);
      if (next.kind === "give-up") return ownEnd(record, child);
      options.metrics.count("envoy_restarts_total");
      state = { kind: "waiting", attempt: next.attempt, untilMs: clock.now() + next.waitMs, last: record.end };
      log.warn("Starting Envoy again", { attempt: next.attempt, waitMs: Math.round(next.waitMs) });
      const again = await startAgain(next.waitMs);
      if (again === undefined) return stopping.signal.aborted ? { by: "us" } : ownEnd(record, child);
      child = again;
    }
  };

  const startAgain = async (waitMs: number): Promise<EnvoyChild | undefined> => {
    try {
      await clock.sleep(waitMs, stopping.signal);
      return await spawnEnvoy(options.spawn);
    } catch (error) {
      if (!stopping.signal.aborted) log.error("Cannot start Envoy again", { error: describeError(error) });
      return undefined;
    }
  };

  /** Stays with one child until it is gone; notes when it first answers as live. */
  const watchOne = async (watched: EnvoyChild): Promise<RunRecord> => {
    options.onSpawn?.(watched.pid);
    state = { kind: "starting", pid: watched.pid, sinceMs: clock.now() };
    const gone = new AbortController();
    let wasLive = false;
    const looking = waitUntilLive(options.admin, clock, AbortSignal.any([gone.signal, stopping.signal])).then(
      (isLive) => {
        wasLive = isLive;
        if (isLive && state.kind === "starting") state = { kind: "running", pid: watched.pid, sinceMs: clock.now() };
      },
    );
    const end = await watched.ended;
    gone.abort();
    await looking;
    return { end, wasLive, startedMs: watched.startedMs, endedMs: clock.now() };
  };

  const ended = run().then((end) => {
    state = { kind: "ended", end };
    return end;
  });
  const stop = async (): Promise<void> => {
    stopping.abort();
    if (state.kind === "starting" || state.kind === "running") {
      state = { kind: "stopping", pid: child.pid, sinceMs: clock.now() };
      await stopEnvoy(child, { ...options, clock, isDrained });
    }
    await ended;
  };
  let stopped: Promise<void> | undefined;
  return {
    state: () => state,
    ended,
    async drain() {
      await requestDrain({ ...options, isInboundOnly: options.drain.isInboundOnly, skipExit: true });
      isDrained = true;
    },
    skipDrain() {
      isDrained = true;
    },
    [Symbol.asyncDispose]() {
      stopped ??= stop();
      return stopped;
    },
  };
}

/** The agent's exit code after this end. */
export function agentExitCode(end: EnvoyEnd): number {
  return end.by === "us" ? 0 : exitCodeOf(end.end);
}

async function waitUntilLive(admin: AdminClient, clock: Clock, stop: AbortSignal): Promise<boolean> {
  while (!stop.aborted) {
    try {
      await admin.get("/ready", LIVE_LIMIT_MS);
      return true;
    } catch {
      // not yet: Envoy is booting, or waits for its first configuration
    }
    await clock.sleep(LIVE_POLL_MS, stop).catch(() => undefined);
  }
  return false;
}

function logEnd({ end, wasLive }: RunRecord, child: EnvoyChild, log: Logger): void {
  if (end.kind === "signal" && end.signal === "SIGKILL") {
    log.warn("Envoy was killed, perhaps for its memory: check the limits of the container");
  }
  const fields = { reason: describeEnd(end), pid: child.pid, wasLive };
  if (end.kind === "code" && end.code === 0) log.info("Envoy has exited", fields);
  else log.error("Envoy has exited", fields);
}

function ownEnd({ end, wasLive }: RunRecord, child: EnvoyChild): EnvoyEnd {
  const lastLines = child.lastLines();
  const complaint = lastLines.filter((line) => /\[critical\]|\tcritical\t|error initializing/.test(line)).at(-1);
  const what = couldNotStart({ end, wasLive }) ? "Envoy could not start" : "Envoy ended by itself";
  const message = `${what}: ${describeEnd(end)}${complaint === undefined ? "" : `: ${complaint.trim()}`}`;
  return { by: "itself", end, message, lastLines };
}

/** The error that a command ends with after Envoy ended by itself with a failure. */
export function endError(end: EnvoyEnd): AgentError | undefined {
  if (end.by === "us" || (end.end.kind === "code" && end.end.code === 0)) return undefined;
  return new AgentError("ENVOY_ENDED", end.message);
}
