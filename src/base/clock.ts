import { setTimeout as delay } from "node:timers/promises";

/** Time as a value that tests can move. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Resolves after `ms`; rejects with the reason of `signal` when that aborts first. Any length is fine. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Node fires timers beyond this length at once: about 25 days. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  async sleep(ms, signal) {
    signal?.throwIfAborted();
    try {
      for (let left = ms; left > 0; left -= LONGEST_TIMER_MS) {
        await delay(Math.min(left, LONGEST_TIMER_MS), undefined, signal === undefined ? {} : { signal });
      }
    } catch (error) {
      signal?.throwIfAborted(); // the caller's reason, not Node's AbortError
      throw error;
    }
  },
};

/** Resolves once `signal` aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** A wait that may be cut short; it does not say by what. */
export async function pause(ms: number, cut: AbortSignal, clock: Clock = systemClock): Promise<void> {
  if (ms > 0) await clock.sleep(ms, cut).catch(() => undefined); // being cut short is the point
}
