import { LOG_FLAGS } from "./flags.ts";
import type { FlagSpec } from "./pflag.ts";

export interface FoundCommand {
  /** Undefined when flags are all there is. */
  readonly name: string | undefined;
  /** All other words, the flags before the name included. */
  readonly rest: readonly string[];
}

/**
 * Finds the command among words that begin with flags, as cobra does: a flag that takes a value, and any unknown one
 * without `=`, swallows the next word, be it the command's name. Default of `flags`: those of every command. Source:
 * spf13/cobra command.go (stripFlags).
 */
export function findCommand(args: readonly string[], flags: readonly FlagSpec[] = LOG_FLAGS): FoundCommand {
  for (let at = 0; at < args.length; at++) {
    const word = args[at] ?? "";
    if (word === "--") break;
    if (word !== "" && !word.startsWith("-"))
      return { name: word, rest: [...args.slice(0, at), ...args.slice(at + 1)] };
    if (takesNextWord(word, flags)) at++;
  }
  return { name: undefined, rest: args };
}

function takesNextWord(word: string, flags: readonly FlagSpec[]): boolean {
  if (word.includes("=") || (!word.startsWith("--") && word.length !== 2)) return false;
  return !flags.some(({ name, shorthand, type }) => {
    return type === "bool" && (word === `--${name}` || word === `-${shorthand}`);
  });
}
