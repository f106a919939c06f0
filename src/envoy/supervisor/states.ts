import type { ChildEnd } from "./child.ts";
import type { RunRecord } from "./restart-policy.ts";

// The words of the lifecycle: what a supervised Envoy can be doing, what can happen to it, what can be done about it.

/** One process of Envoy. */
export interface Child {
  /** Number of the process in this agent's life, from 1. */
  readonly id: number;
  readonly pid: number;
  /** Restart epoch: 0 for a cold start, one more with each hot restart. */
  readonly epoch: number;
  /** Milliseconds since the epoch, as all times here. */
  readonly startedMs: number;
}

/** How it came to its end. */
export type Outcome =
  | { readonly by: "us" }
  /** Its own end, and nothing is started again; `reason` says why. */
  | { readonly by: "itself"; readonly run: RunRecord; readonly reason: string };

/** What the supervised Envoy is doing; each state carries what is known in it. */
export type State =
  /** Not known to be live yet. With an epoch other than 0 its predecessor left to it before that. */
  | { readonly kind: "starting"; readonly child: Child }
  /** It was live at least once. `isShaken`: a next epoch failed beside it, and may have told it to end. */
  | { readonly kind: "running"; readonly child: Child; readonly sinceMs: number; readonly isShaken?: boolean }
  /** A hot restart: the next epoch comes up while `child` serves. `next` is absent until it is spawned. */
  | {
      readonly kind: "replacing";
      readonly child: Child;
      readonly sinceMs: number;
      readonly next: Child | undefined;
      /** The agent was asked to stop meanwhile: the epoch that serves then is drained. */
      readonly isEnding?: boolean;
    }
  /** It does not answer, and got the signal to abort. */
  | { readonly kind: "hung"; readonly child: Child; readonly sinceMs: number }
  /** There is none; after `untilMs` there will be. */
  | { readonly kind: "waiting"; readonly attempt: number; readonly untilMs: number; readonly last: RunRecord }
  | { readonly kind: "draining"; readonly child: Child; readonly sinceMs: number }
  /** They were asked to end; nothing comes after them. */
  | { readonly kind: "stopping"; readonly children: readonly Child[]; readonly end: Outcome; readonly sinceMs: number }
  | { readonly kind: "ended"; readonly end: Outcome };

export interface Lifecycle {
  readonly state: State;
  /** Earlier epochs, which drain beside the one that took over from them. */
  readonly retiring: readonly Child[];
  /** Every run that ended by itself. */
  readonly history: readonly RunRecord[];
}

export type Event =
  | { readonly kind: "spawned"; readonly child: Child }
  | { readonly kind: "spawn failed"; readonly reason: string }
  | { readonly kind: "live"; readonly id: number }
  | { readonly kind: "exited"; readonly id: number; readonly end: ChildEnd }
  | { readonly kind: "hung"; readonly id: number }
  /** The time of a state is over: backoff, the patience with a next epoch, or that with a deaf process. */
  | { readonly kind: "time is up" }
  | { readonly kind: "replace" }
  /** `isDrained`: connections need not be waited for. */
  | { readonly kind: "stop"; readonly isDrained: boolean }
  /** The drain took as long as it may. */
  | { readonly kind: "drained" };

export type Effect =
  | { readonly kind: "spawn"; readonly epoch: number }
  | { readonly kind: "drain"; readonly child: Child }
  | { readonly kind: "signal"; readonly children: readonly Child[]; readonly signal: NodeJS.Signals }
  /** `time is up` follows after `ms`, unless the state changes before; with `isHurried` a second signal brings it, too. */
  | { readonly kind: "wait"; readonly ms: number; readonly isHurried?: boolean }
  /** A run that ended by itself, and whether another follows. */
  | { readonly kind: "account"; readonly run: RunRecord; readonly attempt: number | undefined; readonly waitMs: number }
  /** `old` drains on, if it is still there. */
  | { readonly kind: "replaced"; readonly child: Child; readonly old: Child | undefined }
  /** An epoch that was replaced is gone. */
  | { readonly kind: "retired"; readonly child: Child; readonly end: ChildEnd }
  | { readonly kind: "not replaced"; readonly reason: string }
  | { readonly kind: "end"; readonly end: Outcome };
