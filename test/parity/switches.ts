import { parseArgs } from "node:util";

/** What `npm run parity` was asked for. */
export interface Switches {
  /** The command of pilot-agent that is compared; undefined for all. */
  readonly subject: string | undefined;
  /** Only this area is compared. */
  readonly only: string | undefined;
  /** Only the input with this number is run, and all that was seen of it is printed. */
  readonly case: number | undefined;
  readonly seed: number;
  /** Number of inputs made by chance; undefined: the usual one of the command. */
  readonly count: number | undefined;
  /** The run is the one that the report is made of: everything, with the usual seed and count. */
  readonly isUsual: boolean;
}

export const USAGE =
  "Usage: npm run parity [-- [proxy|iptables] --only AREA] [--case NUMBER] [--seed NUMBER] [--count NUMBER]";
const SEED = 1;

/** Areas by command. */
export type Areas = Readonly<Record<string, readonly string[]>>;

/** Throws an error to print, with the usage, for words that cannot be understood. */
export function parseSwitches(words: readonly string[], areasOf: Areas): Switches {
  const text = { type: "string" } as const;
  const options = { only: text, case: text, seed: text, count: text };
  const { values, positionals } = parseArgs({ args: [...words], options, allowPositionals: true });
  const [subject] = positionals;
  if (positionals.length > 1 || (subject !== undefined && !Object.hasOwn(areasOf, subject))) {
    throw new Error(`There is no command "${positionals.join(" ")}": ${Object.keys(areasOf).join(", ")}`);
  }
  const areas = Object.entries(areasOf).flatMap(([name, own]) => ((subject ?? name) === name ? own : []));
  if (subject === undefined && values.case !== undefined)
    throw new Error("--case needs the command: its inputs have numbers");
  if (values.only !== undefined && !areas.includes(values.only)) {
    throw new Error(`There is no area "${values.only}": ${areas.join(", ")}`);
  }
  return {
    subject,
    only: values.only,
    case: numberOf("case", values.case),
    seed: numberOf("seed", values.seed) ?? SEED,
    count: numberOf("count", values.count),
    isUsual: Object.keys(values).length === 0,
  };
}

function numberOf(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d+$/.test(text)) throw new Error(`--${name} needs a whole number, not "${text}"`);
  return Number(text);
}
