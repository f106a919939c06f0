import { type Backoff, backoffMs, systemClock } from "../base/index.ts";
import { isTemporary, Refusal } from "./failure.ts";

export interface PatienceOptions {
  /** Default: 0.4 s, then three times as long each, up to 10 s. */
  readonly backoff?: Backoff;
  /** Failures in a row, the last one included, after which it is given up. Default 5. */
  readonly attempts?: number;
  /** Told before each wait. */
  readonly onRetry: (error: unknown, waitMs: number) => void;
}

const BACKOFF: Backoff = { initialMs: 400, factor: 3, maxMs: 10_000, jitter: 0.2 };
const ATTEMPTS = 5;
/** Who asks for more is told to come back later. */
const LONGEST_WAIT_MS = 60_000;

/** How often something is tried again, and when. What makes progress between two failures may go on for ever. */
export class Patience {
  readonly #options: PatienceOptions;
  #failures = 0;

  constructor(options: PatienceOptions) {
    this.#options = options;
  }

  /** Something has worked. */
  progress(): void {
    this.#failures = 0;
  }

  /** Waits until the next attempt. Rejects with the failure when there is none, or with the reason of `stop`. */
  async afterFailure(error: unknown, stop: AbortSignal): Promise<void> {
    stop.throwIfAborted();
    const { backoff = BACKOFF, attempts = ATTEMPTS, onRetry } = this.#options;
    this.#failures++;
    const asked = error instanceof Refusal ? error.waitMs : undefined;
    if (this.#failures >= attempts || !isTemporary(error) || (asked ?? 0) > LONGEST_WAIT_MS) throw error;
    const waitMs = asked ?? backoffMs(backoff, this.#failures + 1);
    onRetry(error, waitMs);
    await systemClock.sleep(waitMs, stop);
  }
}

/** Tries until it works, or patience has an end. */
export async function patiently<T>(work: () => Promise<T>, options: PatienceOptions, stop: AbortSignal): Promise<T> {
  const patience = new Patience(options);
  for (;;) {
    try {
      return await work();
    } catch (error) {
      await patience.afterFailure(error, stop);
    }
  }
}
