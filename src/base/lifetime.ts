import { type Clock, systemClock } from "./clock.ts";
import { AgentError } from "./errors.ts";

interface Owned {
  readonly name: string;
  readonly part: AsyncDisposable;
}

export interface LifetimeOptions {
  /** Longest time that closing may take in all; a part that hangs longer is left behind. Default: none. */
  readonly limitMs?: number;
  readonly clock?: Clock;
}

/** What each part has to close when another one has used up the time of all. */
const LEAST_CLOSE_MS = 1_000;

/**
 * Owns the parts of a run and closes them last-first. Every close is tried, also after one that hangs;
 * failures are collected and thrown together. `AsyncDisposableStack` would do most of it but is absent from Node 20 and 22, and it knows no names:
 * the name of a part that hangs is what a user needs to see.
 */
export class Lifetime implements AsyncDisposable {
  readonly #owned: Owned[] = [];
  readonly #clock: Clock;
  readonly #limitMs: number;
  #closing: Promise<void> | undefined;

  constructor({ limitMs = Number.POSITIVE_INFINITY, clock = systemClock }: LifetimeOptions = {}) {
    this.#limitMs = limitMs;
    this.#clock = clock;
  }

  /** Takes over a part, or the promise of one, and returns it. After closing began the part is closed at once. */
  async own<T extends AsyncDisposable>(name: string, starting: T | Promise<T>): Promise<T> {
    const part = await starting;
    if (this.#closing !== undefined) {
      await part[Symbol.asyncDispose]();
      throw new AgentError("STOPPED", `Cannot start "${name}": the run is closing`);
    }
    this.#owned.push({ name, part });
    return part;
  }

  /** Runs `close` when this lifetime ends, in its place of the order. */
  defer(name: string, close: () => void | Promise<void>): void {
    this.#owned.push({ name, part: { [Symbol.asyncDispose]: async () => close() } });
  }

  /** Names of the parts that are not closed yet, the next one to close first. */
  get open(): readonly string[] {
    return this.#owned.map((owned) => owned.name).reverse();
  }

  /** Calling again returns the same promise. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  async #closeAll(): Promise<void> {
    const failures: Error[] = [];
    const deadline = new CloseDeadline(this.#limitMs, this.#clock);
    for (let owned = this.#owned.at(-1); owned !== undefined; owned = this.#owned.at(-1)) {
      try {
        await deadline.within(owned.part);
      } catch (error) {
        failures.push(new Error(`Cannot close "${owned.name}"`, { cause: error }));
      }
      this.#owned.pop();
    }
    deadline.end();
    if (failures.length === 1) throw failures[0];
    if (failures.length > 1) throw new AggregateError(failures, `Cannot close ${failures.length} parts`);
  }
}

/** One deadline for all parts that close, one after another. Each has at least `LEAST_CLOSE_MS`. */
class CloseDeadline {
  readonly #clock: Clock;
  #untilMs: number;
  /** One timer for all: most parts close at once. */
  #timer: { readonly isLate: Promise<boolean>; readonly cancel: AbortController } | undefined;

  constructor(limitMs: number, clock: Clock) {
    this.#clock = clock;
    this.#untilMs = clock.now() + limitMs;
  }

  /** Rejects as the part does, or with TIMEOUT. */
  async within(part: AsyncDisposable): Promise<void> {
    if (this.#untilMs === Number.POSITIVE_INFINITY) return part[Symbol.asyncDispose]();
    if (this.#untilMs - this.#clock.now() < LEAST_CLOSE_MS) this.#extend();
    const limitMs = this.#untilMs - this.#clock.now();
    this.#timer ??= this.#startTimer(limitMs);
    const closing = (async () => part[Symbol.asyncDispose]())().then(() => false);
    if (await Promise.race([closing, this.#timer.isLate])) {
      this.#extend(); // by the timer the time is over, whatever a clock says that was set meanwhile
      throw new AgentError("TIMEOUT", `it did not end within ${Math.round(limitMs)} ms`);
    }
  }

  end(): void {
    this.#timer?.cancel.abort();
  }

  #extend(): void {
    this.end();
    this.#timer = undefined;
    this.#untilMs = this.#clock.now() + LEAST_CLOSE_MS;
  }

  #startTimer(ms: number): { readonly isLate: Promise<boolean>; readonly cancel: AbortController } {
    const cancel = new AbortController();
    const isLate = this.#clock.sleep(ms, cancel.signal).then(
      () => true,
      () => false, // everything was closed in time, or the time was extended
    );
    return { isLate, cancel };
  }
}

/**
 * As `Promise.all`, but it rejects only when all have settled: what the others made meanwhile has its owner by
 * then, and nothing is written after the end. Rejects with the first failure in the order of the list.
 */
export async function allSettled<T extends readonly unknown[]>(
  works: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(works);
  return Promise.all(works) as Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }>;
}
