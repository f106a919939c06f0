import { describeError, type Logger } from "../base/index.ts";

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
}

export interface ReadinessBoard {
  /** Runs the checks and logs each change: a warning per reason, one line per recovery. Callers share a running round. */
  ask(): Promise<Readiness>;
}

export function createReadinessBoard({ checks, stop, log }: ReadinessBoardOptions): ReadinessBoard {
  let told: string | undefined = ""; // undefined: ready
  let running: Promise<Readiness> | undefined;
  const askNow = async (): Promise<Readiness> => {
    const reason = await firstReason(checks, stop);
    const essence = reason?.replaceAll(/\d+/g, "N"); // attempts, ages and counts grow
    if (reason !== undefined) log[essence === told ? "debug" : "warn"](`Envoy proxy is NOT ready: ${reason}`);
    else if (told !== undefined) log.info("Envoy proxy is ready");
    told = essence;
    return reason === undefined ? { isReady: true } : { isReady: false, reason };
  };
  return {
    ask() {
      running ??= askNow().finally(() => {
        running = undefined;
      });
      return running;
    },
  };
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
