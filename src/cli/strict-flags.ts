import { type ParseArgsConfig, parseArgs } from "node:util";
import { AgentError, systemCode } from "../base/index.ts";

export interface StrictFlags {
  readonly flags: Readonly<Record<string, string | undefined>>;
  readonly positionals: readonly string[];
  readonly wantsHelp: boolean;
}

/**
 * Parses a command line whose flags all take a value (`--flag value` or `--flag=value`) and may stand anywhere. An
 * unknown flag rejects with USAGE, as in Istio's `request` and `wait`; the last of a repeated flag counts.
 */
export function parseStrictFlags(command: string, args: readonly string[], names: readonly string[]): StrictFlags {
  const options: ParseArgsConfig["options"] = { help: { type: "boolean", short: "h" } };
  for (const name of names) options[name] = { type: "string" };
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    const text = (name: string): string | undefined => {
      const value = values[name];
      return typeof value === "string" ? value : undefined;
    };
    const flags = Object.fromEntries(names.map((name) => [name, text(name)]));
    return { flags, positionals, wantsHelp: values.help === true };
  } catch (error) {
    if (!systemCode(error)?.startsWith("ERR_PARSE_ARGS")) throw error;
    const [reason] = (error as Error).message.split(". ");
    throw new AgentError("USAGE", reason ?? "", { hint: `See "pilotboat ${command} --help"` });
  }
}

/** The whole number in a flag, or its default. Throws USAGE for anything else. */
export function wholeNumber(flag: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  if (/^-?\d{1,10}$/.test(text)) return Number(text);
  throw new AgentError("USAGE", `Cannot read --${flag} "${text}": expected a whole number`);
}
