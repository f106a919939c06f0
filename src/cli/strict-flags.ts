import { AgentError } from "../base/index.ts";
import { LOG_FLAGS } from "../config/flags.ts";
import { type FlagSpec, type FlagValues, parseFlags } from "../config/pflag.ts";

const HELP_FLAG = { name: "help", shorthand: "h", type: "bool", default: false, help: "" } as const;

export interface StrictFlags<L extends readonly FlagSpec[]> {
  /** The value of every flag, given or default. */
  readonly flags: FlagValues<L>;
  readonly positionals: readonly string[];
  readonly wantsHelp: boolean;
}

/**
 * Parses the flags of a command as pilot-agent's `request`, `wait` and `version` do: the logging flags are taken, and
 * without effect; an unknown one rejects with USAGE, in the reference's words.
 */
export function parseStrictFlags<const L extends readonly FlagSpec[]>(
  command: string,
  args: readonly string[],
  specs: L,
): StrictFlags<L> {
  const all = [...specs, ...LOG_FLAGS, HELP_FLAG];
  const { given, positionals, errors } = parseFlags(all, args, { isLenient: false });
  if (errors.length > 0) {
    const message = errors.map((error) => error.message).join("; ");
    throw new AgentError("USAGE", message, { hint: `See "pilotboat ${command} --help"` });
  }
  const values = Object.fromEntries(specs.map(({ name, default: fallback }) => [name, given.get(name) ?? fallback]));
  return { flags: values as unknown as FlagValues<L>, positionals, wantsHelp: given.get("help") === true };
}
