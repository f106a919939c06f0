import { type Clock, describeError, type Logger, pause } from "../../base/index.ts";
import type { AdminClient } from "../admin-client.ts";

export interface WatchdogOptions {
  readonly admin: AdminClient;
  readonly clock: Clock;
  /** From one question to the next. */
  readonly intervalMs: number;
  /** How long an answer may take. */
  readonly timeoutMs: number;
  /** How many questions in a row may stay without an answer. */
  readonly failures: number;
  readonly stop: AbortSignal;
  readonly log: Logger;
}

/** Envoy was asked so many times, by an agent that was awake, and did not answer. */
export interface HangReport {
  readonly failures: number;
  /** When the first of these questions was asked; milliseconds since the epoch. */
  readonly sinceMs: number;
  readonly reason: string;
}

/** Envoy's own watchdogs of 1 s are for its threads; this one is for the whole, and patient. */
export const WATCHDOG = { intervalMs: 10_000, timeoutMs: 5_000, failures: 3 } as const;

/** Answered with 200 by the main thread, whatever the state: `/ready` says 503 while Envoy waits or drains. */
const QUESTION = "/hot_restart_version";

/**
 * Asks Envoy's admin until it stays silent `failures` times in a row, or until `stop`, then undefined. Never rejects.
 * A question only counts against Envoy when the agent itself could listen for the answer: after a stop of the agent,
 * a sleep of the machine or a blocked event loop the count begins anew. To be called when Envoy is live.
 */
export async function watchForHang(options: WatchdogOptions): Promise<HangReport | undefined> {
  const { clock, intervalMs, stop, log } = options;
  let silent: HangReport | undefined;
  for (;;) {
    const pause = await watched(clock, intervalMs, () => clock.sleep(intervalMs, stop));
    if (stop.aborted) return undefined;
    if (pause.absentMs > intervalMs / 2) silent = undefined;
    const sinceMs = clock.now();
    const asked = await watched(clock, options.timeoutMs, () => ask(options));
    if (stop.aborted) return undefined;
    if (asked.result === undefined) {
      if (silent !== undefined) log.info("Envoy's admin answers again", { after: silent.failures });
      silent = undefined;
    } else if (asked.absentMs > options.timeoutMs / 2) {
      log.debug("The agent was suspended while it waited for Envoy's admin", { absentMs: Math.round(asked.absentMs) });
      silent = undefined;
    } else {
      silent = { failures: (silent?.failures ?? 0) + 1, sinceMs: silent?.sinceMs ?? sinceMs, reason: asked.result };
      log.warn("Envoy's admin does not answer", {
        attempt: silent.failures,
        of: options.failures,
        error: silent.reason,
      });
      if (silent.failures >= options.failures) return silent;
    }
  }
}

/** Why there was no answer; undefined when there was one. */
async function ask({ admin, timeoutMs, stop }: WatchdogOptions): Promise<string | undefined> {
  return admin.get(QUESTION, timeoutMs, stop).then(
    () => undefined,
    (error: unknown) => describeError(error),
  );
}

const BEATS = 10;

interface Watched<T> {
  readonly result: T | undefined;
  /** For how much of the time the agent did not run, in milliseconds. */
  readonly absentMs: number;
}

/**
 * Runs something that waits, and tells for how long the agent was away meanwhile: a beat that comes late by the wall
 * clock is time in which no answer could be read. A clock that is set back is no absence.
 */
async function watched<T>(clock: Clock, ms: number, wait: () => Promise<T>): Promise<Watched<T>> {
  const over = new AbortController();
  const beatMs = ms / BEATS;
  let absentMs = 0;
  let lastMs = clock.now();
  const look = (): void => {
    absentMs += Math.max(0, clock.now() - lastMs - beatMs);
    lastMs = clock.now();
  };
  const beating = (async () => {
    while (!over.signal.aborted) {
      await pause(beatMs, over.signal, clock);
      look();
    }
  })();
  const result = await wait().catch(() => undefined); // cut short by `stop`
  over.abort();
  await beating;
  return { result, absentMs };
}
