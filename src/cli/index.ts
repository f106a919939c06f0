import { stoppedOr } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { VERSION } from "../version.ts";
import { ALIASES, allCommands, COMMANDS } from "./commands.ts";
import { type CommandName, type FoundCommand, IPTABLES, PROGRAM, runCommand } from "./contract/index.ts";
import { exitCodeOf, printError } from "./print-error.ts";

export { printError } from "./print-error.ts";

/**
 * Runs one command line (without the program's name) and resolves with the exit code. Never rejects. A program that is
 * called `istio-iptables` is that command alone.
 */
export async function runCli(args: readonly string[], host: Host): Promise<number> {
  try {
    if (host.program !== IPTABLES) return await dispatch(args, host, false);
    return await runCommand((await COMMANDS.iptables()).command, args, host, { path: [IPTABLES] });
  } catch (thrown) {
    const { stop } = host.signals;
    const error = thrown === stop.reason ? stoppedOr(thrown, stop) : thrown; // interrupted, which is no failure of ours
    printError(host, error);
    return exitCodeOf(error);
  }
}

/** `help NAME`, `--help NAME` and `NAME --help` show the same page. */
async function dispatch(args: readonly string[], host: Host, wantsHelp: boolean): Promise<number> {
  const [first, ...others] = args;
  if (first === "--version" || first === "-v") {
    host.stdout.write(`${VERSION}\n`);
    return 0;
  }
  if (first === "--help" || first === "-h") return dispatch(others, host, true);
  const { name: typed, rest } = await splitCommand(args);
  const name = ALIASES.get(typed ?? "") ?? typed;
  if (name === "help") return dispatch(rest, host, true);
  if (name !== undefined && isCommand(name)) {
    const { command } = await COMMANDS[name]();
    const path = [host.program ?? PROGRAM, typed ?? name];
    return runCommand(command, rest, host, { path, wantsHelp, program: { commands: allCommands } });
  }
  const { runRoot } = await import("./root.ts");
  return runRoot(name, rest, host);
}

function isCommand(name: string): name is CommandName {
  return Object.hasOwn(COMMANDS, name);
}

/** Flags may stand before the command, as with pilot-agent; only a line that begins with one loads the code for it. */
async function splitCommand([first, ...others]: readonly string[]): Promise<FoundCommand> {
  if (first === undefined || !first.startsWith("-")) return { name: first, rest: others };
  const { findRootCommand } = await import("./root.ts");
  return findRootCommand([first, ...others]);
}
