/** A signal that aborts with another one's reason, or after a time. Disposing takes the listener off the other one. */
export interface Limit extends Disposable {
  readonly signal: AbortSignal;
  /** Stops the clock. */
  pause(): void;
  /** Gives the whole time again, from now. */
  restart(): void;
}

/**
 * The clock runs from now on; after `limitMs` the signal's reason is what `late` makes. Not `AbortSignal.any`, whose
 * listeners stay for as long as the caller's signal lives.
 */
export function startLimit(caller: AbortSignal | undefined, limitMs: number, late: () => Error): Limit {
  const over = new AbortController();
  const abort = (): void => over.abort(caller?.reason);
  const start = (): NodeJS.Timeout => setTimeout(() => over.abort(late()), limitMs);
  let timer = start();
  if (caller?.aborted === true) abort();
  else caller?.addEventListener("abort", abort, { once: true });
  return {
    signal: over.signal,
    pause: () => clearTimeout(timer),
    restart() {
      clearTimeout(timer);
      timer = start();
    },
    [Symbol.dispose]() {
      clearTimeout(timer);
      caller?.removeEventListener("abort", abort);
    },
  };
}
