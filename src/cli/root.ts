import type { AgentError } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { VERSION } from "../version.ts";
import { allCommands } from "./commands.ts";
import { rootPage } from "./contract/help-page.ts";
import {
  didYouMean,
  type FoundCommand,
  findCommand,
  PROGRAM,
  parseFlags,
  ROOT_FLAGS,
  usageError,
} from "./contract/index.ts";
import { suggest } from "./contract/suggest.ts";
import { stdoutOf } from "./terminal/index.ts";

/** The command of a line that begins with flags. */
export function findRootCommand(args: readonly string[]): FoundCommand {
  return findCommand(args, ROOT_FLAGS);
}

/** A line without a command that exists: the root help page, or the version. Throws USAGE for one that is mistyped. */
export async function runRoot(name: string | undefined, args: readonly string[], host: Host): Promise<number> {
  const { program = PROGRAM } = host;
  const rootError = (message: string, hint?: string): AgentError => usageError({ path: [program] }, message, hint);
  const commands = await allCommands();
  if (name !== undefined) {
    const close = suggest(name, commands, ["help"]);
    throw rootError(`Unknown command "${name}"`, close === undefined ? undefined : `Did you mean "${close}"?`);
  }
  const { given, positionals, errors, unknown } = parseFlags(ROOT_FLAGS, args, { isLenient: false });
  if (errors.length > 0) {
    throw rootError(errors.map(({ message }) => message).join("; "), didYouMean(unknown, ROOT_FLAGS));
  }
  if (positionals.length > 0) throw rootError('Unknown command "--"');
  const terminal = stdoutOf(host);
  terminal.print(given.get("version") === true ? `${VERSION}\n` : rootPage(commands, program, terminal.width));
  return 0;
}
