import type { Runtime } from "../support/pilotboat.ts";
import type { Observation } from "./observation.ts";
import type { Reason } from "./reasons.ts";

/** One thing that both programs are given. */
export interface Input {
  /** What is special about it, in a few words; unique. */
  readonly name: string;
}

/** Which inputs are made by chance. */
export interface Chances {
  readonly seed: number;
  readonly count: number;
}

/** What is compared of two programs, and why they may differ. */
export interface Comparison {
  /** The heading of its section, and what the section says first. */
  readonly title: string;
  readonly about: readonly string[];
  /** In the order of the report: what is in each area. */
  readonly areas: Readonly<Record<string, string>>;
  readonly reasons: readonly Reason[];
}

/** A part of pilot-agent that pilotboat stands in for. */
export interface Subject<I extends Input = Input> extends Comparison {
  /** How many inputs are made by chance when nobody says another number. */
  readonly usualCount: number;
  inputs(chances: Chances): I[];
  openLane(): Promise<Lane<I>>;
}

/** A place where one program runs after another, with the same paths for each. Disposing it removes what it made. */
export interface Lane<I extends Input = Input> extends AsyncDisposable {
  observe(program: Runtime, input: I): Promise<Seen>;
}

export interface Seen {
  readonly observation: Observation;
  /** What the program printed. */
  readonly output: string;
}
