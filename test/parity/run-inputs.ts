import { availableParallelism } from "node:os";
import type { Runtime } from "../support/pilotboat.ts";
import { compareObservations } from "./compare.ts";
import type { Observation } from "./observation.ts";
import { type Explained, explain } from "./reasons.ts";
import type { Comparison, Input, Lane, Seen, Subject } from "./subject.ts";

export interface Programs {
  readonly reference: Runtime;
  /** The forms of pilotboat that are compared with it. */
  readonly pilotboat: readonly Runtime[];
}

/** What became of one input. */
export interface Result {
  /** Place in the list, from 1: `--case`. */
  readonly number: number;
  readonly input: Input;
  /** The areas that both came to. */
  readonly areas: readonly string[];
  readonly runs: readonly ComparedRun[];
  readonly reference: Seen;
}

export interface ComparedRun {
  /** The form of pilotboat. */
  readonly program: string;
  readonly seen: Seen;
  readonly differences: readonly Explained[];
}

/** Runs every input in the reference and in each form of pilotboat. The results are in the order of the inputs. */
export async function runInputs<I extends Input>(
  subject: Subject<I>,
  programs: Programs,
  inputs: readonly (readonly [number, I])[],
  onResult: (result: Result) => void,
): Promise<Result[]> {
  const waiting = [...inputs];
  const results: Result[] = [];
  const work = async (): Promise<void> => {
    await using lane = await subject.openLane();
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [number, input] = next;
      const result = { number, input, ...(await runInput(lane, subject, programs, input)) };
      results.push(result);
      onResult(result);
    }
  };
  const lanes = Array.from({ length: Math.min(availableParallelism(), inputs.length) }, work);
  await Promise.all(lanes).catch(async (error: unknown) => {
    waiting.length = 0; // the others end with what they are at
    await Promise.allSettled(lanes);
    throw error;
  });
  return results.sort((one, other) => one.number - other.number);
}

async function runInput<I extends Input>(
  lane: Lane<I>,
  { reasons }: Comparison,
  programs: Programs,
  input: I,
): Promise<Pick<Result, "reference" | "runs" | "areas">> {
  const observe = (program: Runtime): Promise<Seen> =>
    lane.observe(program, input).catch((error: unknown) => {
      throw new Error(`Cannot run ${program.name} with the input "${input.name}"`, { cause: error });
    });
  const reference = await observe(programs.reference);
  const runs: ComparedRun[] = [];
  for (const program of programs.pilotboat) {
    const seen = await observe(program);
    const differences = compareObservations(reference.observation, seen.observation);
    runs.push({ program: program.name, seen, differences: explain(differences, reasons) });
  }
  const areas = commonAreas([reference, ...runs.map(({ seen }) => seen)].map(({ observation }) => observation));
  return { reference, runs, areas };
}

function commonAreas([first = {}, ...others]: readonly Observation[]): string[] {
  return Object.keys(first).filter((area) => others.every((other) => area in other));
}
