import { LONGEST_TIMER_MS } from "./clock.ts";

/** A signal that aborts with another one's reason, or when it is told. Disposing takes the listener off the other one. */
export interface Follower extends Disposable {
  readonly signal: AbortSignal;
  abort(reason: Error): void;
}

/** Not `AbortSignal.any`, whose listeners stay for as long as the caller's signal lives. */
export function followSignal(caller: AbortSignal | undefined): Follower {
  const over = new AbortController();
  const follow = (): void => over.abort(caller?.reason);
  if (caller?.aborted === true) follow();
  else caller?.addEventListener("abort", follow, { once: true });
  return {
    signal: over.signal,
    abort: (reason) => over.abort(reason),
    [Symbol.dispose]: () => caller?.removeEventListener("abort", follow),
  };
}

/** A signal that aborts with another one's reason, or after a time. Disposing takes the listener off the other one. */
export interface Limit extends Disposable {
  readonly signal: AbortSignal;
  /** Stops the clock. */
  pause(): void;
  /** Gives the whole time again, from now. */
  restart(): void;
}

/** The clock runs from now on; after `limitMs` the signal's reason is what `late` makes. */
export function startLimit(caller: AbortSignal | undefined, limitMs: number, late: () => Error): Limit {
  const over = followSignal(caller);
  const start = (): NodeJS.Timeout => setTimeout(() => over.abort(late()), Math.min(limitMs, LONGEST_TIMER_MS));
  let timer = start();
  return {
    signal: over.signal,
    pause: () => clearTimeout(timer),
    restart() {
      clearTimeout(timer);
      timer = start();
    },
    [Symbol.dispose]() {
      clearTimeout(timer);
      over[Symbol.dispose]();
    },
  };
}
