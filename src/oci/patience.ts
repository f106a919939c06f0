import type { Backoff, RetryOptions } from "../base/index.ts";
import { isTemporary, Refusal } from "./failure.ts";

export interface PatienceOptions {
  /** Default: 0.4 s, then three times as long each, up to 10 s. */
  readonly backoff?: Backoff;
  /** Failures in a row, the last one included, after which it is given up. Default 5. */
  readonly attempts?: number;
}

const BACKOFF: Backoff = { initialMs: 400, factor: 3, maxMs: 10_000, jitter: 0.2 };
const ATTEMPTS = 5;
/** A registry that asks for a longer wait is not waited for. */
const LONGEST_WAIT_MS = 60_000;

/** How often a registry is tried again, and when: it may name the wait itself. */
export function patience({ backoff = BACKOFF, attempts = ATTEMPTS }: PatienceOptions = {}) {
  return {
    backoff,
    attempts,
    isRetryable: (error) => isTemporary(error) && (askedWaitMs(error) ?? 0) <= LONGEST_WAIT_MS,
    askedWaitMs,
  } satisfies Partial<RetryOptions>;
}

function askedWaitMs(error: unknown): number | undefined {
  return error instanceof Refusal ? error.waitMs : undefined;
}
