import type { ChildEnd } from "./child.ts";
import { decideRestart, type RestartPolicy, type RunRecord } from "./restart-policy.ts";
import type { Child, Effect, Event, Lifecycle, Outcome, State } from "./states.ts";

// What several answers of the lifecycle are made of.

export interface Context {
  readonly policy: RestartPolicy;
  readonly nowMs: number;
  /** In [0, 1); for the backoff's jitter. */
  readonly random: () => number;
}

export interface Step {
  readonly next: Lifecycle;
  readonly effects: readonly Effect[];
}

/** A healthy Envoy ends within some 10 ms of SIGTERM, and within a second of SIGABRT with its core written. */
export const TERM_LIMIT_MS = 2_000;

export function go(now: Lifecycle, state: State, effects: readonly Effect[] = []): Step {
  return { next: { ...now, state }, effects };
}

/** The same step with effects that come before its own. */
export function also(effects: readonly Effect[], { next, effects: own }: Step): Step {
  return { next, effects: [...effects, ...own] };
}

export function ownEnd(
  now: Lifecycle,
  child: Child,
  end: ChildEnd,
  facts: Pick<RunRecord, "wasLive" | "wasHung" | "wasReplacing">,
  context: Context,
): Step {
  return decide(now, { ...facts, end, startedMs: child.startedMs, endedMs: context.nowMs, pid: child.pid }, context);
}

/** A run is over by itself: another follows, or that was it. */
export function decide(now: Lifecycle, run: RunRecord, context: Context): Step {
  const history = [...now.history, run];
  const decision = decideRestart(context.policy, history, context.random);
  if (decision.kind === "give-up") {
    const left = leave({ ...now, history }, now.retiring, { by: "itself", run, reason: decision.reason }, context);
    return {
      next: left.next,
      effects: [{ kind: "account", run, attempt: undefined, waitMs: 0 }, ...left.effects],
    };
  }
  const { attempt, waitMs } = decision;
  return go({ ...now, history }, { kind: "waiting", attempt, untilMs: context.nowMs + waitMs, last: run }, [
    { kind: "account", run, attempt, waitMs },
    { kind: "wait", ms: waitMs },
  ]);
}

export function beginStop(
  now: Lifecycle,
  child: Child,
  { isDrained }: Extract<Event, { kind: "stop" }>,
  context: Context,
): Step {
  if (isDrained) return leave(now, [child, ...now.retiring], { by: "us" }, context);
  return go(now, { kind: "draining", child, sinceMs: context.nowMs }, [{ kind: "drain", child }]);
}

/** Ends what is left; with nothing left that is the end. */
export function leave(now: Lifecycle, children: readonly Child[], end: Outcome, context: Context): Step {
  if (children.length === 0) return go(now, { kind: "ended", end }, [{ kind: "end", end }]);
  return go(now, leaving(children, end, context), endThem(children));
}

export function leaving(children: readonly Child[], end: Outcome, { nowMs }: Context): State {
  return { kind: "stopping", children, end, sinceMs: nowMs };
}

/** The newest first, the others after it: an epoch whose predecessor is gone waits for that one's answers. */
export function endThem([newest]: readonly Child[]): Effect[] {
  return [
    ...(newest === undefined ? [] : [{ kind: "signal", children: [newest], signal: "SIGTERM" } as const]),
    { kind: "wait", ms: TERM_LIMIT_MS },
  ];
}

export function describe(end: ChildEnd): string {
  return end.kind === "code" ? `exit status ${end.code}` : end.signal;
}
