import { type Command, choicesOf, flagsOf, HELP_SUMMARY, namedAs } from "../contract/index.ts";

/** The candidates for a value: files, folders, programs, names of settings, these words, or none. */
export type Values = "file" | "folder" | "program" | "setting" | "unknown" | readonly string[];

export interface CompletionFlag {
  readonly name: string;
  readonly shorthand: string | undefined;
  readonly help: string;
  /** Undefined for a flag without value. */
  readonly values: Values | undefined;
}

/** A command, or the program itself, as a shell has to know it. */
export interface CompletionNode {
  /** `config explain`; empty for the program. */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly summary: string }[];
  readonly flags: readonly CompletionFlag[];
  /** Of each argument, in order. */
  readonly arguments: readonly Values[];
  /** Whether a command line of another program begins with the first argument. */
  readonly isProgram: boolean;
}

/** What a script is made of. */
export interface ScriptWords {
  /** The name by which the program is called. */
  readonly program: string;
  readonly nodes: readonly CompletionNode[];
  /** Names of settings. */
  readonly settings: readonly string[];
}

/** A program's name as shells have the name of a function or a variable. */
export function identifier(program: string): string {
  return program.replaceAll(/\W/g, "_");
}

/**
 * The program and all commands below it, each before those below it, with the names that they have where the program is
 * called `program`.
 */
export function completionTree(
  all: readonly Command[],
  rootFlags: Command["flags"],
  program: string,
): readonly CompletionNode[] {
  const commands = all.map((one) => ({ ...one, name: namedAs(program, one.name) }));
  const root: CompletionNode = {
    path: "",
    commands: [...commands.map(named), { name: "help", summary: HELP_SUMMARY }],
    flags: rootFlags.map(toFlag),
    arguments: [],
    isProgram: false,
  };
  return [root, ...commands.flatMap((command) => nodesOf(command, command.name))];
}

/** The same names, for somebody who wants them alone. */
export function withoutDescriptions(nodes: readonly CompletionNode[]): readonly CompletionNode[] {
  return nodes.map((node) => ({
    ...node,
    commands: node.commands.map((one) => ({ ...one, summary: "" })),
    flags: node.flags.map((one) => ({ ...one, help: "" })),
  }));
}

function nodesOf(command: Command, path: string): CompletionNode[] {
  const { commands = [], arguments: words = [] } = command;
  const hidden = command.takesProxyFlags || command.words === "verbatim" ? [] : LOG_PREFIX;
  const node: CompletionNode = {
    path,
    commands: commands.map(named),
    flags: flagsOf(command)
      .filter(({ name }) => !hidden.some((prefix) => name.startsWith(prefix)))
      .map(toFlag),
    arguments: words.flatMap(({ name, isRepeated = false }) =>
      Array<Values>(isRepeated ? MOST_REPEATED : 1).fill(valuesOf(name)),
    ),
    isProgram: command.words === "program",
  };
  return [node, ...commands.flatMap((sub) => nodesOf(sub, `${path} ${sub.name}`))];
}

/** How often an argument that may be repeated is completed. */
const MOST_REPEATED = 8;

/** Flags that a command takes for pilot-agent's sake, and without effect. */
const LOG_PREFIX = ["log_", "vklog"];

function named({ name, summary }: Command) {
  return { name, summary };
}

function toFlag({ name, shorthand, type, help, value }: Command["flags"][number]): CompletionFlag {
  return { name, shorthand, help, values: type === "bool" ? undefined : valuesOf(value) };
}

function valuesOf(name: string | undefined): Values {
  const choices = choicesOf(name);
  if (choices.length > 0) return choices;
  switch (name) {
    case "FILE":
      return "file";
    case "FOLDER":
      return "folder";
    case "PROGRAM":
      return "program";
    case "SETTING":
      return "setting";
    default:
      return "unknown";
  }
}
