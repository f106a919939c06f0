import { AgentError, nearest } from "../../base/index.ts";
import { type FlagSpec, LOG_FLAGS, type ParsedFlags, PROXY_FLAGS, parseFlags } from "./command-line.ts";
import type { Command, Input } from "./define-command.ts";

export const HELP_FLAG = {
  name: "help",
  shorthand: "h",
  type: "bool",
  default: false,
  help: "Show this page",
} as const satisfies FlagSpec;

/** Of `help`, which is no command of its own. */
export const HELP_SUMMARY = "The help page of a command";

const VERSION_FLAG = {
  name: "version",
  shorthand: "v",
  type: "bool",
  default: false,
  help: "Print the version",
} as const;

/** The flags that may stand before a command. */
export const ROOT_FLAGS: readonly FlagSpec[] = [...LOG_FLAGS, HELP_FLAG, VERSION_FLAG];

/** A command and the names that lead to it, the program's name first. */
export interface Place {
  readonly command: Command;
  readonly path: readonly string[];
}

/** Every flag that a command takes. */
export function flagsOf(command: Command): readonly FlagSpec[] {
  return [...command.flags, ...inheritedFlags(command), HELP_FLAG];
}

/** Flags that a command has from pilot-agent, or from `proxy`; its own ones come before them. */
export function inheritedFlags({ flags, takesProxyFlags = false }: Command): readonly FlagSpec[] {
  const own = new Set(flags.map(({ name }) => name));
  return (takesProxyFlags ? PROXY_FLAGS : LOG_FLAGS).filter(({ name }) => !own.has(name));
}

/** What the words of a command say; `help` when they ask for its page. Throws USAGE, in pflag's words where a flag is wrong. */
export function readWords(place: Place, args: readonly string[]): Input<readonly FlagSpec[]> | "help" {
  const { words = "strict", flags } = place.command;
  if (words === "verbatim" || words === "passing") {
    if (asksForHelp(args)) return "help";
    const { own, rest } = words === "verbatim" ? { own: [], rest: args } : takeOut(flags, args);
    return toInput(place, parseFlags(flags, own, { isLenient: false }), rest);
  }
  const end = words === "beside" ? args.indexOf("--") : -1;
  const own = end < 0 ? args : args.slice(0, end);
  const parsed = parseFlags(flagsOf(place.command), own, { isLenient: false, isInterspersed: words !== "program" });
  const input = toInput(place, parsed, parsed.positionals);
  if (parsed.given.get("help") === true) return "help";
  if (words === "strict" || words === "beside") checkArguments(place.command, input);
  return end < 0 ? input : { ...input, words: [...input.words, ...args.slice(end + 1)] };
}

function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  const own = end < 0 ? args : args.slice(0, end);
  return own.includes("--help") || own.includes("-h");
}

function toInput(place: Place, parsed: ParsedFlags, words: readonly string[]): Input<readonly FlagSpec[]> {
  const { command } = place;
  const { given } = parsed;
  const usage = (message: string, hint?: string): AgentError => usageError(place, message, hint);
  if (parsed.errors.length > 0) {
    const message = parsed.errors.map((error) => error.message).join("; ");
    throw usage(message, didYouMean(parsed.unknown, flagsOf(command)));
  }
  if (command.words !== "reference") checkValues(command.flags, given, usage);
  const values = command.flags.map(({ name, default: fallback }) => [name, given.get(name) ?? fallback]);
  return { flags: Object.fromEntries(values), given, words, usage };
}

/** A USAGE error that refers to a help page. */
export function usageError({ path }: Pick<Place, "path">, message: string, hint?: string): AgentError {
  const page = `See "${path.join(" ")} --help"`;
  return new AgentError("USAGE", message, { hint: hint === undefined ? page : `${hint} ${page}` });
}

/** The hint for a mistyped flag. */
export function didYouMean(unknown: readonly string[], known: readonly FlagSpec[]): string | undefined {
  const names = known.map(({ name }) => name);
  const close = unknown.flatMap((flag) => (flag.startsWith("--") ? (nearest(flag.slice(2), names) ?? []) : []));
  return close.length === 0 ? undefined : `Did you mean ${close.map((name) => `"--${name}"`).join(", ")}?`;
}

/** The values that may stand there, where only some may: names of other values are written in capitals. */
export function choicesOf(value: string | undefined): readonly string[] {
  return value === undefined || value !== value.toLowerCase() ? [] : value.split("|");
}

function checkValues(flags: readonly FlagSpec[], given: ParsedFlags["given"], usage: Input<[]>["usage"]): void {
  for (const { name, value } of flags) {
    const choices = choicesOf(value);
    const found = given.get(name);
    if (found === undefined || choices.length === 0 || choices.includes(String(found))) continue;
    const close = nearest(String(found), choices);
    const hint = close === undefined ? undefined : `Did you mean "${close}"?`;
    throw usage(`Cannot use --${name} ${JSON.stringify(found)}, wanted ${choices.join(" or ")}`, hint);
  }
}

function checkArguments({ arguments: wanted = [] }: Command, { words, usage }: Input<readonly FlagSpec[]>): void {
  const missing = wanted.find(({ isOptional = false }, at) => !isOptional && words[at] === undefined);
  if (missing !== undefined) throw usage(`Missing ${missing.name}: ${missing.help}`);
  if (words.length <= wanted.length || wanted.at(-1)?.isRepeated === true) return;
  const surplus = words.slice(wanted.length).map((word) => JSON.stringify(word));
  throw usage(`Unexpected ${surplus.length === 1 ? "argument" : "arguments"} ${surplus.join(" ")}`);
}

/** Sorts the words into those of these flags, and all others. What follows `--` is never theirs. */
function takeOut(flags: readonly FlagSpec[], args: readonly string[]): { own: string[]; rest: string[] } {
  const own: string[] = [];
  const rest: string[] = [];
  for (let at = 0; at < args.length; at++) {
    const word = args[at] ?? "";
    if (word === "--") {
      rest.push(...args.slice(at));
      break;
    }
    const flag = flags.find(({ name, shorthand }) => isFlag(word, name, shorthand));
    if (flag === undefined) {
      rest.push(word);
      continue;
    }
    own.push(word);
    const isAlone = word === `--${flag.name}` || word === `-${flag.shorthand}`;
    if (isAlone && flag.type !== "bool" && at + 1 < args.length) own.push(args[++at] ?? "");
  }
  return { own, rest };
}

function isFlag(word: string, name: string, shorthand: string | undefined): boolean {
  if (word === `--${name}` || word.startsWith(`--${name}=`)) return true;
  return shorthand !== undefined && word.startsWith(`-${shorthand}`);
}
