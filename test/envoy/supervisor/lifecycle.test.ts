import { expect, test } from "vitest";
import { begin, step } from "../../../src/envoy/supervisor/lifecycle.ts";
import type { RunRecord } from "../../../src/envoy/supervisor/restart-policy.ts";
import type { Child, Event, Lifecycle, State } from "../../../src/envoy/supervisor/states.ts";

const first: Child = { id: 1, pid: 101, epoch: 0, startedMs: 0 };
const second: Child = { id: 2, pid: 102, epoch: 1, startedMs: 500 };
const third: Child = { id: 3, pid: 103, epoch: 0, startedMs: 900 };
const crash: RunRecord = {
  pid: 101,
  end: { kind: "signal", signal: "SIGSEGV" },
  wasLive: true,
  startedMs: 0,
  endedMs: 1_000,
};

const STATES = {
  starting: { kind: "starting", child: first },
  "starting, unseen": { kind: "starting", child: second },
  running: { kind: "running", child: first, sinceMs: 10 },
  "running, shaken": { kind: "running", child: first, sinceMs: 10, isShaken: true },
  replacing: { kind: "replacing", child: first, sinceMs: 10, next: second },
  "replacing, ending": { kind: "replacing", child: first, sinceMs: 10, next: second, isEnding: true },
  hung: { kind: "hung", child: first, sinceMs: 10 },
  waiting: { kind: "waiting", attempt: 1, untilMs: 1_100, last: crash },
  draining: { kind: "draining", child: first, sinceMs: 10 },
  stopping: { kind: "stopping", children: [first], end: { by: "us" }, sinceMs: 10 },
  ended: { kind: "ended", end: { by: "us" } },
} as const satisfies Readonly<Record<string, State>>;
type StateName = keyof typeof STATES;

const EVENTS: { readonly [name: string]: Event } = {
  spawned: { kind: "spawned", child: third },
  "spawn failed": { kind: "spawn failed", reason: "no memory" },
  live: { kind: "live", id: 1 },
  "live (next)": { kind: "live", id: 2 },
  exited: { kind: "exited", id: 1, end: { kind: "signal", signal: "SIGSEGV" } },
  "exited (next)": { kind: "exited", id: 2, end: { kind: "code", code: 1 } },
  hung: { kind: "hung", id: 1 },
  "time is up": { kind: "time is up" },
  replace: { kind: "replace" },
  stop: { kind: "stop", isDrained: false },
  "stop, drained": { kind: "stop", isDrained: true },
  drained: { kind: "drained" },
};

/** Per state and event: the state after it, and what is to be done. What is not named here changes nothing. */
const ANSWERS: Readonly<Record<StateName, Readonly<Record<string, string>>>> = {
  starting: {
    spawned: "starting: SIGKILL 103",
    live: "running",
    exited: "waiting: account, wait",
    replace: "starting: not replaced",
    stop: "draining: drain",
    "stop, drained": "stopping: SIGTERM 101, wait",
  },
  "starting, unseen": {
    spawned: "starting: SIGKILL 103",
    "live (next)": "running: replaced",
    exited: "waiting: not replaced, account, wait",
    "time is up": "running: replaced",
    replace: "starting: not replaced",
    stop: "draining: not replaced, drain",
    "stop, drained": "stopping: not replaced, SIGTERM 102, wait",
  },
  running: {
    spawned: "running: SIGKILL 103",
    exited: "waiting: account, wait",
    hung: "hung: SIGABRT 101, wait",
    replace: "replacing: spawn 1",
    stop: "draining: drain",
    "stop, drained": "stopping: SIGTERM 101, wait",
  },
  "running, shaken": {
    spawned: "running: SIGKILL 103",
    exited: "waiting: account, wait",
    hung: "hung: SIGABRT 101, wait",
    replace: "replacing: spawn 1",
    stop: "draining: drain",
    "stop, drained": "stopping: SIGTERM 101, wait",
  },
  replacing: {
    spawned: "replacing: wait",
    "spawn failed": "running: not replaced",
    "live (next)": "running: replaced",
    exited: "waiting: SIGKILL 102, not replaced, account, wait",
    "exited (next)": "running: not replaced",
    "time is up": "replacing: SIGKILL 102",
    replace: "replacing: not replaced",
    stop: "replacing: wait",
    "stop, drained": "stopping: SIGKILL 102, not replaced, SIGTERM 101, wait",
  },
  "replacing, ending": {
    spawned: "replacing",
    "spawn failed": "draining: not replaced, drain",
    "live (next)": "draining: replaced, drain",
    exited: "stopping: SIGKILL 102, not replaced, SIGTERM 102, wait",
    "exited (next)": "draining: not replaced, drain",
    "time is up": "draining: SIGKILL 102, not replaced, drain",
    replace: "replacing: not replaced",
    stop: "replacing: wait",
    "stop, drained": "stopping: SIGKILL 102, not replaced, SIGTERM 101, wait",
  },
  hung: {
    spawned: "hung: SIGKILL 103",
    exited: "waiting: account, wait",
    "time is up": "hung: SIGKILL 101",
    replace: "hung: not replaced",
    stop: "stopping: SIGKILL 101, wait",
    "stop, drained": "stopping: SIGKILL 101, wait",
  },
  waiting: {
    spawned: "starting",
    "spawn failed": "waiting: account, wait",
    "time is up": "waiting: spawn 0",
    replace: "waiting: not replaced",
    stop: "ended: end",
    "stop, drained": "ended: end",
  },
  draining: {
    spawned: "draining: SIGKILL 103",
    exited: "ended: end",
    replace: "draining: not replaced",
    drained: "stopping: SIGTERM 101, wait",
  },
  stopping: {
    spawned: "stopping: SIGKILL 103",
    exited: "ended: end",
    "time is up": "stopping: SIGKILL 101",
    replace: "stopping: not replaced",
  },
  ended: { spawned: "ended: SIGKILL 103", replace: "ended: not replaced" },
};

/** Only a process that is known can end: two states have a next epoch. */
const CELLS = Object.keys(STATES)
  .flatMap((state) => Object.keys(EVENTS).map((event) => [state as StateName, event] as const))
  .filter(([state, event]) => event !== "exited (next)" || state.startsWith("replacing"));

test.each(CELLS)("%s, %s", (stateName, eventName) => {
  const state = STATES[stateName];
  const event = EVENTS[eventName] as Event;
  const known: Event =
    event.kind === "exited" && stateName === "starting, unseen" ? { ...event, id: second.id } : event;
  expect(told({ state, retiring: [], history: [] }, known)).toBe(ANSWERS[stateName][eventName] ?? state.kind);
});

test("the end of an earlier epoch is forgotten, whatever is going on", () => {
  for (const state of Object.values(STATES)) {
    if (state.kind === "stopping" || state.kind === "ended") continue;
    const retired: Child = { id: 9, pid: 109, epoch: 0, startedMs: 0 };
    const { next, effects } = go({ state, retiring: [retired], history: [] }, exit(9));
    expect(next).toEqual({ state, retiring: [], history: [] });
    expect(effects).toMatchObject([{ kind: "retired", child: retired }]);
  }
});

test("stopping ends the newest epoch first, then those before it, and kills what is left", () => {
  const running: Lifecycle = { state: { ...STATES.running, child: second }, retiring: [first], history: [] };
  const draining = go(running, { kind: "stop", isDrained: false }).next;
  const stopping = go(draining, { kind: "drained" });
  expect(stopping.effects[0]).toMatchObject({ kind: "signal", signal: "SIGTERM", children: [second] });
  expect(told(stopping.next, { kind: "time is up" })).toBe("stopping: SIGKILL 102 101");
  const half = go(stopping.next, exit(2)).next;
  expect(told(stopping.next, exit(2))).toBe("stopping: SIGTERM 101, wait");
  expect(told(half, { kind: "time is up" })).toBe("stopping: SIGKILL 101");
  expect(told(half, exit(1))).toBe("ended: end");
});

test("an old epoch that ends in order has been told to by the next one, which serves", () => {
  const ended: Event = { kind: "exited", id: 1, end: { kind: "code", code: 0 } };
  const replacing: Lifecycle = { state: STATES.replacing, retiring: [], history: [] };
  expect(told(replacing, ended)).toBe("starting: wait");
  expect(go(replacing, ended).next.state).toEqual({ kind: "starting", child: second });
});

test("an end with 0 is a failure when a hot restart has just failed, or has taken over unseen", () => {
  const end = { kind: "code", code: 0 } as const;
  for (const [name, id] of [
    ["running, shaken", 1],
    ["starting, unseen", 2],
  ] as const) {
    const { next } = go({ state: STATES[name], retiring: [], history: [] }, { kind: "exited", id, end });
    expect(next.state).toMatchObject({ kind: "waiting", last: { wasReplacing: true } });
  }
  const good = go({ state: STATES.running, retiring: [], history: [] }, { kind: "exited", id: 1, end });
  expect(good.next.state).toMatchObject({ kind: "ended", end: { by: "itself" } });
});

test("while it waits only a cold start is taken", () => {
  const late: Event = { kind: "spawned", child: { ...second, id: 4, pid: 104 } };
  expect(told({ state: STATES.waiting, retiring: [], history: [] }, late)).toBe("waiting: SIGKILL 104");
});

test("of two that are asked to end the newest is asked once", () => {
  const stopping: State = { ...STATES.stopping, children: [second, first] };
  expect(told({ state: stopping, retiring: [], history: [] }, exit(1))).toBe("stopping");
  expect(told({ state: stopping, retiring: [], history: [] }, exit(2))).toBe("stopping: SIGTERM 101, wait");
});

test("a third epoch has to wait until the first has gone", () => {
  const busy: Lifecycle = { state: STATES.running, retiring: [second], history: [] };
  expect(told(busy, { kind: "replace" })).toBe("running: not replaced");
  expect(told({ ...busy, retiring: [] }, { kind: "replace" })).toBe("replacing: spawn 1");
});

test("without restarts its own end is the end, told with the run", () => {
  const { next, effects } = step(begin(first), exit(1), { policy: "never", nowMs: 5, random: () => 0 });
  expect(next.state).toMatchObject({ kind: "ended", end: { by: "itself", run: { pid: 101, endedMs: 5 } } });
  expect(effects.map(({ kind }) => kind)).toEqual(["account", "end"]);
});

test("without restarts an older epoch is ended first", () => {
  const now: Lifecycle = { state: STATES.running, retiring: [second], history: [] };
  const { next } = step(now, exit(1), { policy: "never", nowMs: 5, random: () => 0 });
  expect(next.state).toMatchObject({ kind: "stopping", children: [second], end: { by: "itself" } });
});

function exit(id: number): Event {
  return { kind: "exited", id, end: { kind: "signal", signal: "SIGSEGV" } };
}

function go(now: Lifecycle, event: Event) {
  return step(now, event, { policy: "on-failure", nowMs: 1_000, random: () => 0.5 });
}

/** What came of it in one line: `stopping: SIGTERM 101, wait`. */
function told(now: Lifecycle, event: Event): string {
  const { next, effects } = go(now, event);
  const words = effects.map((effect) => {
    if (effect.kind === "signal") return [effect.signal, ...effect.children.map(({ pid }) => pid)].join(" ");
    return effect.kind === "spawn" ? `spawn ${effect.epoch}` : effect.kind;
  });
  return words.length === 0 ? next.state.kind : `${next.state.kind}: ${words.join(", ")}`;
}
