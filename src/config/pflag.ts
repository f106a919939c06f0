/** How one flag takes its value. */
export interface FlagSpec {
  readonly name: string;
  readonly shorthand?: string;
  readonly type: "string" | "bool" | "int" | "duration" | "strings";
  readonly default: string | boolean | number | readonly string[];
  readonly help: string;
}

export interface ParsedFlags {
  /** Values of the flags that were given; a flag of type `strings` collects. */
  readonly given: ReadonlyMap<string, string | boolean | number | readonly string[]>;
  readonly positionals: readonly string[];
  /** One text per flag that could not be understood. */
  readonly errors: readonly { readonly flag: string; readonly message: string }[];
}

export interface ParseOptions {
  /** Unknown flags are passed over, with the value that seems to be theirs; otherwise they are errors. */
  readonly isLenient: boolean;
}

/**
 * Parses a command line as Go's pflag does, its treatment of unknown flags included: `--unknown value` swallows the
 * value, `--unknown=value` and `--unknown --next` do not. Source: spf13/pflag flag.go (stripUnknownFlagValue).
 */
export function parseFlags(specs: readonly FlagSpec[], args: readonly string[], options: ParseOptions): ParsedFlags {
  const given = new Map<string, string | boolean | number | readonly string[]>();
  const positionals: string[] = [];
  const errors: { flag: string; message: string }[] = [];
  const rest = [...args];
  const set = (spec: FlagSpec, text: string): void => {
    const value = parseValue(spec, text);
    if (value === undefined) errors.push({ flag: `--${spec.name}`, message: invalidText(spec, text) });
    else if (spec.type === "strings") given.set(spec.name, [...((given.get(spec.name) as string[]) ?? []), text]);
    else given.set(spec.name, value);
  };
  const takeUnknown = (shown: string, hasValue: boolean): void => {
    if (!options.isLenient) errors.push({ flag: shown, message: `unknown flag: ${shown}` });
    else if (!hasValue && rest[0] !== undefined && !rest[0].startsWith("-")) rest.shift();
  };
  const takeKnown = (spec: FlagSpec, shown: string, inline: string | undefined): void => {
    if (inline !== undefined) set(spec, inline);
    else if (spec.type === "bool") set(spec, "true");
    else if (rest[0] === undefined) errors.push({ flag: shown, message: `flag needs an argument: ${shown}` });
    else set(spec, rest.shift() ?? "");
  };
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === "--") {
      positionals.push(...rest);
      break;
    }
    if (!word.startsWith("-") || word === "-") positionals.push(word);
    else if (word.startsWith("--")) takeLong(word.slice(2));
    else takeShort(word.slice(1));
  }
  return { given, positionals, errors };

  function takeLong(word: string): void {
    const [name = "", inline] = splitOnce(word);
    const spec = specs.find((one) => one.name === name);
    if (spec === undefined) takeUnknown(`--${name}`, inline !== undefined);
    else takeKnown(spec, `--${name}`, inline);
  }

  function takeShort(letters: string): void {
    const [names = "", inline] = splitOnce(letters);
    for (const [at, letter] of [...names].entries()) {
      const isLast = at === names.length - 1;
      const spec = specs.find((one) => one.shorthand === letter);
      if (spec === undefined) takeUnknown(`-${letter}`, isLast && inline !== undefined);
      else takeKnown(spec, `-${letter}`, isLast ? inline : undefined);
    }
  }
}

function splitOnce(word: string): [string, string | undefined] {
  const at = word.indexOf("=");
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}

function parseValue(spec: FlagSpec, text: string): string | boolean | number | undefined {
  if (spec.type === "int") return /^[+-]?\d+$/.test(text) ? Number(text) : undefined;
  if (spec.type !== "bool") return text;
  if (["1", "t", "T", "TRUE", "true", "True"].includes(text)) return true;
  return ["0", "f", "F", "FALSE", "false", "False"].includes(text) ? false : undefined;
}

function invalidText(spec: FlagSpec, text: string): string {
  const parser = spec.type === "int" ? "strconv.ParseInt" : "strconv.ParseBool";
  return `invalid argument ${JSON.stringify(text)} for "--${spec.name}" flag: ${parser}: parsing ${JSON.stringify(text)}: invalid syntax`;
}
