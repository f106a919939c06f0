import { parseArgs } from "node:util";

/** What `npm run parity` was asked for. */
export interface Switches {
  /** Only this area is compared. */
  readonly only: string | undefined;
  /** Only the input with this number is run, and all that was seen of it is printed. */
  readonly case: number | undefined;
  readonly seed: number;
  /** Number of inputs made by chance. */
  readonly count: number;
  /** The run is the one that the report is made of: everything, with the usual seed and count. */
  readonly isUsual: boolean;
}

export const USAGE = "Usage: npm run parity [-- --only AREA] [--case NUMBER] [--seed NUMBER] [--count NUMBER]";
const SEED = 1;
const COUNT = 100;

/** Throws an error to print, with the usage, for words that cannot be understood. */
export function parseSwitches(words: readonly string[], areas: readonly string[]): Switches {
  const text = { type: "string" } as const;
  const { values } = parseArgs({ args: [...words], options: { only: text, case: text, seed: text, count: text } });
  if (values.only !== undefined && !areas.includes(values.only)) {
    throw new Error(`There is no area "${values.only}": ${areas.join(", ")}`);
  }
  return {
    only: values.only,
    case: numberOf("case", values.case),
    seed: numberOf("seed", values.seed) ?? SEED,
    count: numberOf("count", values.count) ?? COUNT,
    isUsual: words.length === 0,
  };
}

function numberOf(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d+$/.test(text)) throw new Error(`--${name} needs a whole number, not "${text}"`);
  return Number(text);
}
