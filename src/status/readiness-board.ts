import { type Clock, describeError, type Logger, pause, systemClock } from "../base/index.ts";

/** One thing that must be so before the proxy may take traffic. */
export interface ReadinessCheck {
  readonly name: string;
  /** Resolves with the reason why not, or undefined when it is so. A rejection counts as a reason. */
  check(): Promise<string | undefined> | string | undefined;
}

export type Readiness = { readonly isReady: true } | { readonly isReady: false; readonly reason: string };

export interface ReadinessBoardOptions {
  /** Asked in this order; the first that fails decides. */
  readonly checks: readonly ReadinessCheck[];
  /** Once aborted the proxy is never ready again: a draining proxy should get no new traffic. */
  readonly stop: AbortSignal;
  readonly log: Logger;
  readonly clock?: Clock;
}

export interface ReadinessBoard {
  /** Runs the checks and logs each change: a warning per reason, one line per recovery. Callers share a running round. */
  ask(): Promise<Readiness>;
  /** The same without a word in the log. */
  look(): Promise<Readiness>;
  /**
   * Calls `listener` at every change from now on: of the answer, or of its reason. The board looks by itself, once a
   * second, as long as anybody watches. Gives the function that ends it.
   */
  watch(listener: (readiness: Readiness) => void): () => void;
}

const LOOK_EVERY_MS = 1_000;

export function createReadinessBoard({
  checks,
  stop,
  log,
  clock = systemClock,
}: ReadinessBoardOptions): ReadinessBoard {
  const listeners = new Set<(readiness: Readiness) => void>();
  let running: Promise<Readiness> | undefined;
  let known: string | undefined; // the essence of the last answer
  const publish = (readiness: Readiness): Readiness => {
    const essence = essenceOf(readiness);
    if (essence !== known) for (const listener of listeners) listener(readiness);
    known = essence;
    return readiness;
  };
  const look = (): Promise<Readiness> => {
    running ??= firstReason(checks, stop)
      .then((reason) => publish(reason === undefined ? { isReady: true } : { isReady: false, reason }))
      .finally(() => {
        running = undefined;
      });
    return running;
  };
  stop.addEventListener("abort", () => void (running ?? Promise.resolve()).then(look), { once: true });

  let told = "";
  const tell = (readiness: Readiness): Readiness => {
    const essence = essenceOf(readiness);
    if (!readiness.isReady) {
      log[essence === told ? "debug" : "warn"](`Envoy proxy is NOT ready: ${readiness.reason}`);
    } else if (essence !== told) log.info("Envoy proxy is ready");
    told = essence;
    return readiness;
  };
  let asking: Promise<Readiness> | undefined;

  const keepLooking = async (over: AbortSignal): Promise<void> => {
    while (!over.aborted) {
      await look();
      await pause(LOOK_EVERY_MS, over, clock);
    }
  };
  let watching: AbortController | undefined;
  return {
    ask() {
      asking ??= look()
        .then(tell)
        .finally(() => {
          asking = undefined;
        });
      return asking;
    },
    look,
    watch(listener) {
      listeners.add(listener);
      if (watching === undefined) {
        watching = new AbortController();
        void keepLooking(watching.signal); // look() never rejects
      }
      return () => {
        listeners.delete(listener);
        if (listeners.size > 0) return;
        watching?.abort();
        watching = undefined;
      };
    },
  };
}

/** Attempts, ages and counts grow, and are no change. */
function essenceOf(readiness: Readiness): string {
  return readiness.isReady ? "ready" : `not ready: ${readiness.reason.replaceAll(/\d+/g, "N")}`;
}

async function firstReason(checks: readonly ReadinessCheck[], stop: AbortSignal): Promise<string | undefined> {
  if (stop.aborted) return `server is terminated: ${describeError(stop.reason)}`;
  for (const check of checks) {
    try {
      const reason = await check.check();
      if (reason !== undefined) return reason;
    } catch (error) {
      return describeError(error);
    }
  }
  return undefined;
}
