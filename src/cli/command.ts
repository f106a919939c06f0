import { Command, CommanderError } from "commander";
import { AgentError } from "../base/index.ts";
import type { Host } from "../host/index.ts";

/** What every file of a command exports. Resolves with the exit code; a thrown AgentError is printed by `runCli`. */
export interface CommandModule {
  run(args: readonly string[], host: Host): Promise<number>;
}

/** Ends an action with an exit code other than 0. */
export type ExitWith = (code: number) => void;

/**
 * Runs a command whose flags commander parses. `define` adds options, sub-commands and async actions to `program`;
 * help goes to stdout with code 0, a mistyped command line rejects with USAGE.
 */
export async function runCommander(
  name: string,
  args: readonly string[],
  host: Host,
  define: (program: Command, exitWith: ExitWith) => void,
): Promise<number> {
  let exitCode = 0;
  const program = new Command(`pilotboat ${name}`);
  define(program, (code) => {
    exitCode = code;
  });
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({
      writeOut: (text) => host.stdout.write(text),
      writeErr: () => undefined, // the AgentError below carries the same text
    });
  }
  try {
    await program.parseAsync([...args], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return 0; // help was printed
    const [sub] = program.commands.map((command) => command.name()).filter((known) => known === args[0]);
    const hint = `See "pilotboat ${name}${sub === undefined ? "" : ` ${sub}`} --help"`;
    throw new AgentError("USAGE", error.message.replace(/^error: /, ""), { hint });
  }
  return exitCode;
}
