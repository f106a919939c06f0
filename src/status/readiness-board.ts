import { type Clock, describeError, type Logger, pause, systemClock } from "../base/index.ts";

/** One thing that must be so before the proxy may take traffic. */
export interface ReadinessCheck {
  readonly name: string;
  /** Resolves with the reason why not, or undefined when it is so. A rejection counts as a reason. */
  check(): Promise<Shortfall | string | undefined> | Shortfall | string | undefined;
}

/** Why something is not ready; a text is one without causes. */
export interface Shortfall {
  /** In the reference's words. */
  readonly phrase: string;
  /** What is awaited and what went wrong last, the most telling first. */
  readonly causes: readonly Cause[];
}

/** A link of the chain that ends at the real error. */
export interface Cause {
  readonly kind: CauseKind;
  /** One line. */
  readonly text: string;
  /** Milliseconds since the epoch; absent where it is not known. */
  readonly sinceMs?: number;
}

/**
 * Where it failed: name lookup, connection, TLS, or credentials on the way to the control plane or the CA; what Envoy
 * refused (`nack`) or cannot listen on (`listener`); what Envoy itself waits for (`warming`); a stream without an answer
 * (`control-plane`); a certificate that cannot be had or used (`certificate`).
 */
export type CauseKind =
  | "dns"
  | "connect"
  | "tls"
  | "auth"
  | "nack"
  | "listener"
  | "warming"
  | "control-plane"
  | "certificate";

export type Readiness = ({ readonly isReady: true } | NotReady) & {
  /** Ready, or not, since then: milliseconds since the epoch. */
  readonly sinceMs: number;
};

interface NotReady extends Shortfall {
  readonly isReady: false;
  /** The phrase and all causes in one line. */
  readonly reason: string;
}

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
  let last = { isReady: false, sinceMs: clock.now() };
  const publish = (shortfall: Shortfall | undefined): Readiness => {
    const isReady = shortfall === undefined;
    if (last.isReady !== isReady) last = { isReady, sinceMs: clock.now() };
    const { sinceMs } = last;
    const readiness: Readiness =
      shortfall === undefined
        ? { isReady: true, sinceMs }
        : { isReady: false, reason: reasonOf(shortfall), ...shortfall, sinceMs };
    const essence = essenceOf(readiness);
    if (essence !== known) for (const listener of listeners) listener(readiness);
    known = essence;
    return readiness;
  };
  const look = (): Promise<Readiness> => {
    running ??= firstShortfall(checks, stop)
      .then(publish)
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

async function firstShortfall(checks: readonly ReadinessCheck[], stop: AbortSignal): Promise<Shortfall | undefined> {
  const without = (phrase: string): Shortfall => ({ phrase, causes: [] });
  if (stop.aborted) return without(`server is terminated: ${describeError(stop.reason)}`);
  for (const check of checks) {
    try {
      const found = await check.check();
      if (found !== undefined) return typeof found === "string" ? without(found) : found;
    } catch (error) {
      return without(describeError(error));
    }
  }
  return undefined;
}

function reasonOf({ phrase, causes }: Shortfall): string {
  return [phrase, ...causes.map(({ text }) => text)].join("; ");
}
