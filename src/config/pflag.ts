import { dropUnderscores, parseGoBool } from "../base/index.ts";
import { parseGoInteger } from "./yaml-scalar.ts";

/** How one flag takes its value. */
export interface FlagSpec {
  readonly name: string;
  readonly shorthand?: string;
  /** A `duration` stays text here; an `int` has 32 bits; a flag of type `strings` may be given several times. */
  readonly type: "string" | "bool" | "int" | "duration" | "strings";
  /** Undefined for a flag that has no value unless it is given. */
  readonly default: string | boolean | number | readonly string[] | undefined;
  readonly help: string;
  /** What a help page calls the value, in capitals; `FILE` and `FOLDER` say what may stand there. Or those values: `yaml|json`. */
  readonly value?: string;
}

type ValueOfFlag<F extends FlagSpec> = F["type"] extends "bool"
  ? boolean
  : F["type"] extends "int"
    ? number
    : F["type"] extends "strings"
      ? readonly string[]
      : string;

type AbsentValue<F extends FlagSpec> = F["default"] extends undefined ? undefined : never;

/** The values of a list of flags, by name. */
export type FlagValues<L extends readonly FlagSpec[]> = {
  readonly [F in L[number] as F["name"]]: ValueOfFlag<F> | AbsentValue<F>;
};

export type FlagValue = string | boolean | number | readonly string[];

export interface ParsedFlags {
  /** Values of the flags that were given; a flag of type `strings` collects. */
  readonly given: ReadonlyMap<string, FlagValue>;
  readonly positionals: readonly string[];
  /** One text per flag that could not be understood, in pflag's words. */
  readonly errors: readonly { readonly flag: string; readonly message: string }[];
  /** Every unknown flag, with its dashes, whether it was passed over or is an error. */
  readonly unknown: readonly string[];
}

export interface ParseOptions {
  /** Whether flags are read after the first word that is none, too. Default true; pflag's `SetInterspersed`. */
  readonly isInterspersed?: boolean;
  /** Unknown flags are passed over, with the value that seems to be theirs; otherwise they are errors. */
  readonly isLenient: boolean;
}

/**
 * Parses a command line as Go's pflag does, its treatment of unknown flags included: `--unknown value` swallows the
 * value, `--unknown=value` and `--unknown --next` do not. Unlike pflag it goes on after an error, so that all are told.
 * Source: spf13/pflag flag.go (parseLongArg, parseSingleShortArg, stripUnknownFlagValue).
 */
export function parseFlags(specs: readonly FlagSpec[], args: readonly string[], options: ParseOptions): ParsedFlags {
  const parser = new FlagParser(specs, args, options);
  parser.parse();
  return parser;
}

class FlagParser implements ParsedFlags {
  readonly given = new Map<string, FlagValue>();
  readonly positionals: string[] = [];
  readonly errors: { flag: string; message: string }[] = [];
  readonly unknown: string[] = [];
  readonly #specs: readonly FlagSpec[];
  #rest: string[];
  readonly #isLenient: boolean;
  readonly #isInterspersed: boolean;

  constructor(specs: readonly FlagSpec[], args: readonly string[], options: ParseOptions) {
    this.#specs = specs;
    this.#rest = [...args];
    this.#isLenient = options.isLenient;
    this.#isInterspersed = options.isInterspersed ?? true;
  }

  parse(): void {
    for (let word = this.#rest.shift(); word !== undefined; word = this.#rest.shift()) {
      if (word === "--") {
        this.positionals.push(...this.#rest);
        return;
      }
      if (!word.startsWith("-") || word === "-") {
        this.positionals.push(word);
        if (!this.#isInterspersed) this.positionals.push(...this.#rest.splice(0));
      } else if (word.startsWith("--")) this.#takeLong(word);
      else this.#takeShorts(word);
    }
  }

  #takeLong(word: string): void {
    const [name = "", inline] = splitOnce(word.slice(2));
    const spec = this.#specs.find((one) => one.name === name);
    const isBad = name === "" || name.startsWith("-");
    if (spec === undefined && !isBad) this.unknown.push(`--${name}`);
    if (isBad) this.#refuse(word, `bad flag syntax: ${word}`);
    else if (spec === undefined && !this.#isLenient) this.#refuse(`--${name}`, `unknown flag: --${name}`);
    else if (spec === undefined && inline === undefined) this.#dropValue();
    else if (spec !== undefined) this.#takeValue(spec, inline, `--${name}`);
  }

  /**
   * `-abc` is three flags, unless one takes a value: then the rest is that value. Each letter sees the words after this
   * one anew, so that only the last letter really takes one.
   */
  #takeShorts(word: string): void {
    const following = this.#rest;
    for (let letters = word.slice(1); letters !== ""; ) {
      this.#rest = [...following];
      const letter = letters.charAt(0);
      const inline = letters.length > 2 && letters[1] === "=" ? letters.slice(2) : undefined;
      const attached = letters.length > 1 ? letters.slice(1) : undefined;
      const spec = this.#specs.find((one) => one.shorthand === letter);
      const shown = `'${letter}' in -${letters}`;
      letters = inline === undefined ? letters.slice(1) : "";
      if (spec === undefined) this.unknown.push(`-${letter}`);
      if (spec === undefined && !this.#isLenient) {
        this.#refuse(`-${letter}`, `unknown shorthand flag: ${shown}`);
      } else if (spec === undefined && inline === undefined) {
        this.#dropValue();
      } else if (spec !== undefined) {
        const takesRest = spec.type !== "bool" && inline === undefined && attached !== undefined;
        this.#takeValue(spec, takesRest ? attached : inline, shown);
        if (takesRest) letters = "";
      }
    }
  }

  #takeValue(spec: FlagSpec, inline: string | undefined, shown: string): void {
    const text = inline ?? (spec.type === "bool" ? "true" : this.#rest.shift());
    const value = text === undefined ? undefined : parseValue(spec, text);
    if (text === undefined) this.#refuse(`--${spec.name}`, `flag needs an argument: ${shown}`);
    else if (value === undefined) this.#refuse(`--${spec.name}`, invalidText(spec, text));
    else if (spec.type === "strings") this.given.set(spec.name, [...this.#collected(spec), text]);
    else this.given.set(spec.name, value);
  }

  #collected({ name }: FlagSpec): readonly string[] {
    const earlier = this.given.get(name);
    return Array.isArray(earlier) ? earlier : [];
  }

  /** What follows an unknown flag is taken for its value, unless it looks like a flag. */
  #dropValue(): void {
    if (this.#rest[0] !== undefined && !this.#rest[0].startsWith("-")) this.#rest.shift();
  }

  #refuse(flag: string, message: string): void {
    this.errors.push({ flag, message });
  }
}

function splitOnce(word: string): [string, string | undefined] {
  const at = word.indexOf("=");
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}

function parseValue(spec: FlagSpec, text: string): string | boolean | number | undefined {
  if (spec.type === "bool") return parseGoBool(text);
  if (spec.type !== "int") return text;
  const value = parseGoInteger(dropUnderscores(text) ?? "");
  return value !== undefined && value === BigInt.asIntN(32, value) ? Number(value) : undefined;
}

function invalidText(spec: FlagSpec, text: string): string {
  const parser = spec.type === "int" ? "strconv.ParseInt" : "strconv.ParseBool";
  const quoted = JSON.stringify(text);
  const why =
    spec.type === "int" && parseGoInteger(dropUnderscores(text) ?? "") !== undefined
      ? "value out of range"
      : "invalid syntax";
  const flag = spec.shorthand === undefined ? `--${spec.name}` : `-${spec.shorthand}, --${spec.name}`;
  return `invalid argument ${quoted} for "${flag}" flag: ${parser}: parsing ${quoted}: ${why}`;
}
