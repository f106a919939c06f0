/** A signal that aborts with another one's reason, or after a time. Disposing takes the listener off the other one. */
export interface Limit extends Disposable {
  readonly signal: AbortSignal;
}

/**
 * Not `AbortSignal.any`, whose listeners stay for as long as the caller's signal lives. The reason after `limitMs` is an
 * Error, `what` within the time.
 */
export function startLimit(caller: AbortSignal, limitMs: number, what: string): Limit {
  const over = new AbortController();
  const abort = (): void => over.abort(caller.reason);
  const timer = setTimeout(() => over.abort(new Error(`${what} within ${limitMs / 1_000} s`)), limitMs);
  if (caller.aborted) abort();
  else caller.addEventListener("abort", abort, { once: true });
  return {
    signal: over.signal,
    [Symbol.dispose]() {
      clearTimeout(timer);
      caller.removeEventListener("abort", abort);
    },
  };
}
