import { type Backoff, backoffMs } from "../../base/index.ts";
import { type ChildEnd, describeEnd } from "./child.ts";

/** What to do when Envoy ends by itself. */
export type RestartPolicy = "never" | "on-failure" | "always";

/** What became of one Envoy. */
export interface RunRecord {
  readonly pid: number;
  readonly end: ChildEnd;
  /** It answered as live at some time. */
  readonly wasLive: boolean;
  /** It stopped answering, and the agent ended it for that. */
  readonly wasHung?: boolean;
  /** It ended around a hot restart that failed: no exit code of it is a good end. */
  readonly wasReplacing?: boolean;
  /** There was no process at all, for this reason; `end` is the one of the run before. */
  readonly spawnFailure?: string;
  readonly startedMs: number;
  readonly endedMs: number;
}

export type RestartDecision =
  | { readonly kind: "restart"; readonly waitMs: number; readonly attempt: number }
  | { readonly kind: "give-up"; readonly reason: string };

/** Tried at most so often within the window; a run that lasted long enough clears the account. */
export const RESTART_BUDGET = { restarts: 10, windowMs: 600_000, stableMs: 60_000 } as const;
export const RESTART_BACKOFF: Backoff = { initialMs: 100, factor: 2, maxMs: 30_000, jitter: 0.1 };

/**
 * Decides after a run ended by itself. `history` holds every run so far, the one that just ended last. An Envoy that
 * never came up is not tried again: it would refuse the same configuration again.
 */
export function decideRestart(
  policy: RestartPolicy,
  history: readonly RunRecord[],
  random: () => number = Math.random,
): RestartDecision {
  const last = history.at(-1);
  if (last === undefined || policy === "never") return { kind: "give-up", reason: "restarts are disabled" };
  const isFailure =
    last.end.kind === "signal" || last.end.code !== 0 || last.spawnFailure !== undefined || last.wasReplacing;
  if (policy === "on-failure" && !isFailure) return { kind: "give-up", reason: "Envoy exited with code 0" };
  if (couldNotStart(last) && history.length === 1 && last.wasReplacing !== true) {
    return { kind: "give-up", reason: `Envoy cannot start (${describeEnd(last.end)})` };
  }
  const recent = sinceStable(history).filter(({ endedMs }) => last.endedMs - endedMs < RESTART_BUDGET.windowMs);
  if (recent.length > RESTART_BUDGET.restarts) {
    const minutes = RESTART_BUDGET.windowMs / 60_000;
    return { kind: "give-up", reason: `Envoy ended ${recent.length} times within ${minutes} minutes` };
  }
  const attempt = recent.length;
  // one that worked and crashed once is started at once: waiting would only make the outage longer
  const waitMs = attempt === 1 && last.wasLive ? 0 : backoffMs(RESTART_BACKOFF, Math.max(attempt, 2), random);
  return { kind: "restart", waitMs, attempt };
}

/** It refused its configuration or its machine; one that was killed or crashed might have come up. */
export function couldNotStart({ end, wasLive }: Pick<RunRecord, "end" | "wasLive">): boolean {
  return !wasLive && end.kind === "code" && end.code !== 0;
}

/** Runs after the last one that lasted long enough; that one itself is the first failure of a new account. */
function sinceStable(history: readonly RunRecord[]): readonly RunRecord[] {
  for (let at = history.length - 1; at >= 0; at--) {
    const run = history[at];
    if (run !== undefined && run.endedMs - run.startedMs >= RESTART_BUDGET.stableMs) return history.slice(at);
  }
  return history;
}
