import { nearest } from "../../base/index.ts";
import type { Host } from "../../host/index.ts";
import { type FlagSpec, findCommand, PROXY_ROLES } from "./command-line.ts";
import type { Command, Input, Program } from "./define-command.ts";
import { PROGRAM } from "./program-name.ts";
import { flagsOf, type Place, readWords, usageError } from "./read-words.ts";
import { suggest } from "./suggest.ts";

export interface RunOptions {
  /** The names that lead to the command; default: the program's and the command's. */
  readonly path?: readonly string[];
  /** Whether its help page is wanted, whatever the other words say. */
  readonly wantsHelp?: boolean;
  /** Default: one without commands. */
  readonly program?: Program;
}

/** Runs a command, or the sub-command that the words name, and resolves with the exit code. Rejects with USAGE among others. */
export async function runCommand(
  command: Command,
  args: readonly string[],
  host: Host,
  { path = [host.program ?? PROGRAM, command.name], wantsHelp = false, program = NO_PROGRAM }: RunOptions = {},
): Promise<number> {
  const found = findSubCommand({ command, path }, args, wantsHelp);
  if (found.command !== command) {
    const options = { path: [...path, found.command.name], wantsHelp: found.wantsHelp, program };
    return runCommand(found.command, found.rest, host, options);
  }
  const place = { command, path };
  const input = found.wantsHelp ? "help" : readWords(place, found.rest);
  if (input !== "help" && command.run !== undefined) return actionOf(command)(input, host, program);
  const { printHelp } = await import("./help-page.ts");
  await printHelp(place, host);
  return 0;
}

const NO_PROGRAM: Program = { commands: async () => [] };

type Action = (input: Input<readonly FlagSpec[]>, host: Host, program: Program) => Promise<number>;

/** The flags of an input are those of its command: both come from one definition. */
function actionOf({ run }: Command): Action {
  return run as Action;
}

interface Found {
  readonly command: Command;
  readonly rest: readonly string[];
  readonly wantsHelp: boolean;
}

/** Throws USAGE for a word that looks like a sub-command and is none. */
function findSubCommand(place: Place, args: readonly string[], wantsHelp: boolean): Found {
  const { command } = place;
  const { commands = [] } = command;
  const itself = { command, rest: args, wantsHelp };
  if (commands.length === 0) return itself;
  const { name, rest } = findCommand(args, flagsOf(command));
  if (name === undefined) return itself;
  if (name === "help") return findSubCommand(place, rest, true);
  const sub = commands.find((one) => one.name === name || one.aliases?.includes(name));
  if (sub !== undefined) return { command: sub, rest, wantsHelp };
  const close = suggest(name, commands, ["help"]);
  if (command.run !== undefined && !isMistyped(name, close)) return itself;
  throw usageError(
    place,
    `Unknown sub-command "${name}"`,
    close === undefined ? undefined : `Did you mean "${close}"?`,
  );
}

/** Where a proxy type may stand, too, only a word that is closer to a sub-command counts as one. */
function isMistyped(name: string, close: string | undefined): boolean {
  if (close === undefined) return false;
  return !PROXY_ROLES.includes(nearest(name, [...PROXY_ROLES, close]) ?? close);
}
