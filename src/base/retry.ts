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
  /** Attempts in all, the first included, since the last progress; unlimited when absent. */
  readonly attempts?: number;
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly signal: AbortSignal;
  /** False gives up at once; the error is thrown as it is. Default: everything is retried. */
  readonly isRetryable?: (error: unknown) => boolean;
  /** How long the other side asks to wait after this error, instead of `backoff`; undefined where it does not say. */
  readonly askedWaitMs?: (error: unknown) => number | undefined;
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
  const retries = new Retries(options);
  for (let attempt = 1; ; attempt++) {
    options.signal.throwIfAborted();
    try {
      return await work(attempt);
    } catch (error) {
      await retries.afterFailure(error);
    }
  }
}

/** The waits between attempts, for work that can make progress before it fails. */
export class Retries {
  readonly #options: RetryOptions;
  #failures = 0;

  constructor(options: RetryOptions) {
    this.#options = options;
  }

  /** Something has worked: the next failure counts as the first one. */
  progress(): void {
    this.#failures = 0;
  }

  /** Waits until the next attempt. Rejects with the failure when there is none, or with the reason of `signal`. */
  async afterFailure(error: unknown): Promise<void> {
    const { backoff, attempts = Number.POSITIVE_INFINITY, clock = systemClock, random, signal } = this.#options;
    const failures = ++this.#failures;
    if (failures >= attempts || this.#options.isRetryable?.(error) === false) throw error;
    const attempt = failures + 1;
    const waitMs = this.#options.askedWaitMs?.(error) ?? backoffMs(backoff, attempt, random);
    this.#options.onRetry?.({ error, attempt, waitMs });
    await clock.sleep(waitMs, signal);
  }
}
