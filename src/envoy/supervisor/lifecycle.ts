import type { ChildEnd } from "./child.ts";
import type { Child, Effect, Event, Lifecycle, State } from "./states.ts";
import {
  also,
  beginStop,
  type Context,
  decide,
  describe,
  endThem,
  go,
  leave,
  leaving,
  ownEnd,
  type Step,
  TERM_LIMIT_MS,
} from "./steps.ts";

// The life of a supervised Envoy as a pure function: what it is doing now and what happens give what it does next and
// what is to be done for that. `supervise.ts` does it and reports what came of it.

/** How long an end waits for a replacement that is under way. */
const SETTLE_LIMIT_MS = 3_000;
/** Longest time that a next epoch may take to be live. */
const REPLACE_LIMIT_MS = 60_000;

type StateKind = State["kind"];
type EventKind = Event["kind"];
type At<K extends StateKind> = Lifecycle & { readonly state: Extract<State, { kind: K }> };
type Of<E extends EventKind> = Extract<Event, { kind: E }>;
type Answer<K extends StateKind, E extends EventKind> = (now: At<K>, event: Of<E>, context: Context) => Step;
type Table = { readonly [K in StateKind]: { readonly [E in EventKind]: Answer<K, E> } };

const stay = (now: Lifecycle): Step => ({ next: now, effects: [] });
const refuse =
  (reason: string) =>
  (now: Lifecycle): Step => ({ next: now, effects: [{ kind: "not replaced", reason }] });
const killLate = (now: Lifecycle, { child }: Of<"spawned">): Step => ({
  next: now,
  effects: [{ kind: "signal", children: [child], signal: "SIGKILL" }],
});
const killHung = ({ state }: At<"hung">): Effect => ({ kind: "signal", children: [state.child], signal: "SIGKILL" });

/** Every event has an answer in every state. */
const TABLE: Table = {
  starting: {
    spawned: killLate,
    "spawn failed": stay,
    live: (now, { id }, context) => (id === now.state.child.id ? serves(now, now.state.child, context) : stay(now)),
    exited: endWhileStarting,
    hung: stay,
    "time is up": (now, _event, context) => (isUnseen(now) ? serves(now, now.state.child, context) : stay(now)),
    replace: refuse("Envoy is still starting"),
    stop: (now, event, context) =>
      also(
        isUnseen(now) ? [{ kind: "not replaced", reason: "the agent is stopping" }] : [],
        beginStop(now, now.state.child, event, context),
      ),
    drained: stay,
  },
  running: {
    spawned: killLate,
    "spawn failed": stay,
    live: stay,
    exited: (now, { end }, context) => {
      const facts = { wasLive: true, ...(now.state.isShaken === true ? { wasReplacing: true } : {}) };
      return ownEnd(now, now.state.child, end, facts, context);
    },
    hung: beginHung,
    "time is up": stay,
    replace: beginReplace,
    stop: (now, event, context) => beginStop(now, now.state.child, event, context),
    drained: stay,
  },
  replacing: {
    spawned: (now, { child }) =>
      go(
        now,
        { ...now.state, next: child },
        now.state.isEnding === true ? [] : [{ kind: "wait", ms: REPLACE_LIMIT_MS }],
      ),
    "spawn failed": (now, { reason }, context) => backToOld(now, reason, context),
    live: takeOver,
    exited: (now, { id, end }, context) =>
      id === now.state.next?.id
        ? backToOld(now, `the next Envoy exited: ${describe(end)}`, context)
        : oldIsGone(now, end, context),
    hung: stay, // the old one's admin closes when the next one comes up
    "time is up": giveUpNext,
    replace: refuse("another replacement is under way"),
    stop: stopWhileReplacing,
    drained: stay,
  },
  hung: {
    spawned: killLate,
    "spawn failed": stay,
    live: stay,
    exited: (now, { end }, context) => ownEnd(now, now.state.child, end, { wasLive: true, wasHung: true }, context),
    hung: stay,
    "time is up": (now) => ({ next: now, effects: [killHung(now)] }),
    replace: refuse("Envoy hangs"),
    stop: (now, _event, context) =>
      go(now, leaving([now.state.child, ...now.retiring], { by: "us" }, context), [
        killHung(now),
        { kind: "wait", ms: TERM_LIMIT_MS },
      ]),
    drained: stay,
  },
  waiting: {
    spawned: (now, event) =>
      event.child.epoch === 0 ? go(now, { kind: "starting", child: event.child }) : killLate(now, event),
    "spawn failed": spawnFailed,
    live: stay,
    exited: stay,
    hung: stay,
    "time is up": (now) => ({ next: now, effects: [{ kind: "spawn", epoch: 0 }] }),
    replace: refuse("Envoy is not running"),
    stop: (now, _event, context) => leave(now, now.retiring, { by: "us" }, context),
    drained: stay,
  },
  draining: {
    spawned: killLate,
    "spawn failed": stay,
    live: stay,
    exited: (now, _event, context) => leave(now, now.retiring, { by: "us" }, context),
    hung: stay,
    "time is up": stay,
    replace: refuse("the agent is stopping"),
    stop: stay,
    drained: (now, _event, context) => leave(now, [now.state.child, ...now.retiring], { by: "us" }, context),
  },
  stopping: {
    spawned: killLate,
    "spawn failed": stay,
    live: stay,
    exited: oneIsGone,
    hung: stay,
    "time is up": (now) => ({
      next: now,
      effects: [{ kind: "signal", children: now.state.children, signal: "SIGKILL" }],
    }),
    replace: refuse("the agent is stopping"),
    stop: stay,
    drained: stay,
  },
  ended: {
    spawned: killLate,
    "spawn failed": stay,
    live: stay,
    exited: stay,
    hung: stay,
    "time is up": stay,
    replace: refuse("Envoy exited"),
    stop: stay,
    drained: stay,
  },
};

/** What follows when `event` happens `now`. */
export function step(now: Lifecycle, event: Event, context: Context): Step {
  if (event.kind === "exited" && now.state.kind !== "stopping" && now.retiring.some(({ id }) => id === event.id)) {
    const [child] = now.retiring.filter(({ id }) => id === event.id);
    const next = { ...now, retiring: now.retiring.filter(({ id }) => id !== event.id) };
    return { next, effects: child === undefined ? [] : [{ kind: "retired", child, end: event.end }] };
  }
  const answer = TABLE[now.state.kind][event.kind] as Answer<StateKind, EventKind>;
  return answer(now as At<StateKind>, event as Of<EventKind>, context);
}

/** Before the first process there is nothing to supervise: a life begins with one. */
export function begin(child: Child): Lifecycle {
  return { state: { kind: "starting", child }, retiring: [], history: [] };
}

/** A next epoch that took over before it was known to be live. */
function isUnseen({ state }: At<"starting">): boolean {
  return state.child.epoch > 0;
}

function serves(now: At<"starting">, child: Child, { nowMs }: Context): Step {
  const effects: Effect[] = isUnseen(now) ? [{ kind: "replaced", child, old: undefined }] : [];
  return go(now, { kind: "running", child, sinceMs: nowMs }, effects);
}

function endWhileStarting(now: At<"starting">, { end }: Of<"exited">, context: Context): Step {
  const { child } = now.state;
  if (!isUnseen(now)) return ownEnd(now, child, end, { wasLive: false }, context);
  const reason = `the next Envoy took over and exited: ${describe(end)}`;
  const over = ownEnd(now, child, end, { wasLive: false, wasReplacing: true }, context);
  return also([{ kind: "not replaced", reason }], over);
}

function spawnFailed(now: At<"waiting">, { reason }: Of<"spawn failed">, context: Context): Step {
  const { last } = now.state;
  const run = { ...last, wasLive: false, startedMs: context.nowMs, endedMs: context.nowMs, spawnFailure: reason };
  return decide(now, run, context);
}

function beginHung(now: At<"running">, { id }: Of<"hung">, { nowMs }: Context): Step {
  const { child } = now.state;
  if (id !== child.id) return stay(now);
  return go(now, { kind: "hung", child, sinceMs: nowMs }, [
    { kind: "signal", children: [child], signal: "SIGABRT" },
    { kind: "wait", ms: TERM_LIMIT_MS },
  ]);
}

function beginReplace(now: At<"running">): Step {
  // an epoch that is asked to make room ends its own predecessor at once, in the middle of its drain
  if (now.retiring.length > 0) return refuse("an earlier Envoy is still draining")(now);
  const { child, sinceMs } = now.state;
  return go(now, { kind: "replacing", child, sinceMs, next: undefined }, [{ kind: "spawn", epoch: child.epoch + 1 }]);
}

function takeOver(now: At<"replacing">, { id }: Of<"live">, context: Context): Step {
  const { child: old, next: child, isEnding } = now.state;
  if (child === undefined || id !== child.id) return stay(now);
  const replaced: Effect = { kind: "replaced", child, old };
  const after = { ...now, retiring: [...now.retiring, old] };
  if (isEnding === true) return also([replaced], beginStop(after, child, NOT_DRAINED, context));
  return go(after, { kind: "running", child, sinceMs: context.nowMs }, [replaced]);
}

const NOT_DRAINED = { kind: "stop", isDrained: false } as const;

function backToOld(now: At<"replacing">, reason: string, context: Context): Step {
  const { child, sinceMs, isEnding } = now.state;
  const notReplaced: Effect = { kind: "not replaced", reason };
  if (isEnding === true) return also([notReplaced], beginStop(now, child, NOT_DRAINED, context));
  return go(now, { kind: "running", child, sinceMs, isShaken: true }, [notReplaced]);
}

/** The next epoch is killed, never asked: one that ends in order takes the old one with it. */
function giveUpNext(now: At<"replacing">, _event: Of<"time is up">, context: Context): Step {
  const { next, isEnding } = now.state;
  if (isEnding === true) return stopWithoutNext(now, NOT_DRAINED, context);
  return { next: now, effects: next === undefined ? [] : [{ kind: "signal", children: [next], signal: "SIGKILL" }] };
}

function oldIsGone(now: At<"replacing">, end: ChildEnd, context: Context): Step {
  const { child, next, isEnding } = now.state;
  if (isEnding === true) return stopWithoutNext(now, { kind: "stop", isDrained: true }, context, [child]);
  // an old epoch ends in order when the next one has told it to: that one serves, or took the old one with it
  if (next !== undefined && end.kind === "code" && end.code === 0) {
    return go(now, { kind: "starting", child: next }, [{ kind: "wait", ms: REPLACE_LIMIT_MS }]);
  }
  const retiring = next === undefined ? now.retiring : [...now.retiring, next];
  const over = ownEnd({ ...now, retiring }, child, end, { wasLive: true, wasReplacing: true }, context);
  return {
    next: over.next,
    effects: [
      ...(next === undefined ? [] : [{ kind: "signal", children: [next], signal: "SIGKILL" } as const]),
      { kind: "not replaced", reason: `the active Envoy exited: ${describe(end)}` },
      ...over.effects,
    ],
  };
}

/** The admin may be the next one's by now: for a moment it is given the chance to be who is drained. */
function stopWhileReplacing(now: At<"replacing">, event: Of<"stop">, context: Context): Step {
  if (event.isDrained) return stopWithoutNext(now, event, context);
  return go(now, { ...now.state, isEnding: true }, [{ kind: "wait", ms: SETTLE_LIMIT_MS, isHurried: true }]);
}

function stopWithoutNext(now: At<"replacing">, event: Of<"stop">, context: Context, gone: readonly Child[] = []): Step {
  const { child, next } = now.state;
  const retiring = next === undefined ? now.retiring : [...now.retiring, next];
  const begun = gone.includes(child)
    ? leave({ ...now, retiring }, retiring, { by: "us" }, context)
    : beginStop({ ...now, retiring }, child, event, context);
  const killed: Effect[] = next === undefined ? [] : [{ kind: "signal", children: [next], signal: "SIGKILL" }];
  return also([...killed, { kind: "not replaced", reason: "the agent is stopping" }], begun);
}

function oneIsGone(now: At<"stopping">, { id }: Of<"exited">): Step {
  const { end } = now.state;
  const children = now.state.children.filter((child) => child.id !== id);
  const wasNewest = now.state.children[0]?.id === id;
  if (children.length > 0) return go(now, { ...now.state, children }, wasNewest ? endThem(children) : []);
  return go({ ...now, retiring: [] }, { kind: "ended", end }, [{ kind: "end", end }]);
}
