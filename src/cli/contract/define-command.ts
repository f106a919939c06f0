import type { AgentError } from "../../base/index.ts";
import type { Host } from "../../host/index.ts";
import { type FlagSpec, type FlagValue, type FlagValues, PROXY_ROLES } from "./command-line.ts";

/** The groups of the root help page, in its order. */
export const GROUPS = ["run", "cluster", "control plane", "look", "container", "shell"] as const;
export type Group = (typeof GROUPS)[number];

/** A word that stands for itself, after the command's name. */
export interface Argument {
  /** As the usage line shows it. FILE, FOLDER, PROGRAM and SETTING say what may stand there; or those words: `sidecar|router`. */
  readonly name: string;
  readonly help: string;
  readonly isOptional?: boolean;
  /** The last one may be given several times. */
  readonly isRepeated?: boolean;
}

/** A part of a help page of its own: a heading with a text, with names and what they mean, or with several lists of names. */
export interface Section {
  readonly title: string;
  readonly text?: string;
  readonly rows?: Names;
  readonly lists?: readonly { readonly title: string; readonly rows: Names }[];
}

type Names = readonly (readonly [name: string, meaning: string])[];

/**
 * What a command does with its words.
 *
 * - `strict`: flags and arguments, as they are defined; everything else is USAGE.
 * - `reference`: flags as they are defined; surplus arguments are ignored, as pilot-agent ignores them.
 * - `passing`: the command's own flags are taken out, wherever they stand; the rest is passed on as it is.
 * - `verbatim`: nothing is taken out.
 * - `program`: flags up to the first word that is none, or up to `--`; then a command line of another program.
 * - `beside`: as `strict` up to `--`, and after it a command line of another program, which follows the arguments.
 */
export type WordRule = "strict" | "reference" | "passing" | "verbatim" | "program" | "beside";

export interface Input<L extends readonly FlagSpec[]> {
  /** The value of every flag of the command, given or default; at `verbatim` always the default. */
  readonly flags: FlagValues<L>;
  /** The flags that were given, those of `proxy` included where the command takes them. */
  readonly given: ReadonlyMap<string, FlagValue>;
  /** What is left of the words: arguments, or what is passed on. */
  readonly words: readonly string[];
  /** A USAGE error that refers to the help page of this command. */
  usage(message: string, hint?: string): AgentError;
}

export interface CommandSpec<L extends readonly FlagSpec[]> {
  readonly name: string;
  /** In one sentence, without its full stop. */
  readonly summary: string;
  /** Where the root help page has it; a sub-command has none. */
  readonly group?: Group;
  /** Paragraphs below the usage lines; default: the summary. */
  readonly description?: readonly string[];
  /** What follows the name in the usage line; default: arguments, then `[flags]`. */
  readonly usage?: readonly string[];
  readonly arguments?: readonly Argument[];
  readonly flags: L;
  /** Whether it also takes every flag of `proxy`. */
  readonly takesProxyFlags?: boolean;
  /** Default: `strict`. */
  readonly words?: WordRule;
  /** After the flags. Only the help page loads them. */
  readonly sections?: () => Promise<readonly Section[]>;
  /** Whole command lines. */
  readonly examples: readonly string[];
  /** Other names. Those of a command that is no sub-command are in `ALIASES`, too. */
  readonly aliases?: readonly string[];
  /** Words of other tools for which this command is the answer. */
  readonly similar?: readonly string[];
  readonly commands?: readonly Command[];
  /** Resolves with the exit code. A thrown AgentError is printed. Absent where only sub-commands do something. */
  run?(input: Input<L>, host: Host, program: Program): Promise<number>;
}

/** A command, whatever its flags are. */
export type Command = Omit<CommandSpec<readonly FlagSpec[]>, "run"> & {
  readonly run?: (input: never, host: Host, program: Program) => Promise<number>;
};

/** What a command may know of the others. */
export interface Program {
  commands(): Promise<readonly Command[]>;
}

/** The one description of a command: how its words are read, its help page, its completion and its page of the docs come from it. */
export function defineCommand<const L extends readonly FlagSpec[]>(spec: CommandSpec<L>): Command {
  return spec;
}

/** What `proxy` and the commands that look at its configuration take as their first word. */
export const PROXY_TYPE: Argument = {
  name: PROXY_ROLES.join("|"),
  help: "Type of the proxy; default: sidecar",
  isOptional: true,
};
