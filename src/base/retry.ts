import { type Clock, systemClock } from "./clock.ts";

export interface Backoff {
  /** Wait before the second attempt. */
  readonly initialMs: number;
  /** Each further wait is this many times longer. */
  readonly factor: number;
  /** No wait is longer than this, before jitter. */
  readonly maxMs: number;
  /** Each wait is multiplied by a random number in `1 - jitter … 1 + jitter`. */
  readonly jitter: number;
}

export interface RetryOptions {
  readonly backoff: Backoff;
  /** Attempts in all, the first included; unlimited when absent. */
  readonly attempts?: number;
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly signal: AbortSignal;
  /** False gives up at once; the error is thrown as it is. Default: everything is retried. */
  readonly isRetryable?: (error: unknown) => boolean;
  /** Called before each wait. `attempt` is the number of the attempt that comes next, from 2. */
  readonly onRetry?: (retry: { error: unknown; attempt: number; waitMs: number }) => void;
}

/** The wait before attempt number `attempt` (2 is the first retry). */
export function backoffMs(backoff: Backoff, attempt: number, random: () => number = Math.random): number {
  const base = Math.min(backoff.maxMs, backoff.initialMs * backoff.factor ** (attempt - 2));
  return base * (1 + backoff.jitter * (2 * random() - 1));
}

/** Calls `work` until it succeeds, the attempts are used up, the error is final, or `signal` aborts. */
export async function retry<T>(work: (attempt: number) => Promise<T>, options: RetryOptions): Promise<T> {
  const { backoff, attempts = Number.POSITIVE_INFINITY, clock = systemClock, random = Math.random, signal } = options;
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted();
    try {
      return await work(attempt);
    } catch (error) {
      if (attempt >= attempts || options.isRetryable?.(error) === false) throw error;
      const waitMs = backoffMs(backoff, attempt + 1, random);
      options.onRetry?.({ error, attempt: attempt + 1, waitMs });
      await clock.sleep(waitMs, signal);
    }
  }
}
