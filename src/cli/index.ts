import { AgentError, describeError, escapeLine, stoppedOr } from "../base/index.ts";
import type { FoundCommand } from "../config/find-command.ts";
import type { Host } from "../host/index.ts";
import { VERSION } from "../version.ts";
import { COMMANDS } from "./commands.ts";

/** Runs one command line (without the program's name) and resolves with the exit code. Never rejects. */
export async function runCli(args: readonly string[], host: Host): Promise<number> {
  if (args[0] === "--version" || args[0] === "-v") {
    host.stdout.write(`${VERSION}\n`);
    return 0;
  }
  const { name, rest } = await splitCommand(args);
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    host.stdout.write(helpText());
    return 0;
  }
  try {
    const entry = COMMANDS.find((command) => command.name === name);
    if (entry === undefined) {
      throw new AgentError("USAGE", `Unknown command "${name}"`, { hint: 'See "pilotboat --help"' });
    }
    const command = await entry.load();
    return await command.run(rest, host);
  } catch (thrown) {
    const { stop } = host.signals;
    const error = thrown === stop.reason ? stoppedOr(thrown, stop) : thrown; // interrupted, which is no failure of ours
    host.stderr.write(errorText(error));
    return error instanceof AgentError && error.kind === "usage" ? 2 : 1;
  }
}

/** Flags may stand before the command, as with pilot-agent; who does not do that does not load the code for it. */
async function splitCommand([first, ...others]: readonly string[]): Promise<FoundCommand> {
  if (first === undefined || !first.startsWith("-") || first === "-h" || first === "--help") {
    return { name: first, rest: others };
  }
  const { findCommand } = await import("../config/find-command.ts");
  return findCommand([first, ...others]);
}

/** What a failed command prints: the message, then the hint, and for a bug the stack as well. */
export function errorText(error: unknown): string {
  if (!(error instanceof AgentError)) {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return `Error: Internal failure, please report it: ${indentRest(stack)}\n`;
  }
  const hint = error.hint === undefined ? "" : `  hint: ${escapeLine(error.hint)}\n`;
  const [first = "", ...more] = describeError(error).split("\n");
  const text = [`${first} [${error.code}]`, ...more].join("\n");
  return `Error: ${error.code === "CONFIG_INVALID" ? text : indentRest(text)}\n${hint}`;
}

/** A message may quote somebody; further down it, too, nothing should look like a line or a hint of ours. */
function indentRest(text: string): string {
  return text.replace(/\n */g, "\n    ");
}

function helpText(): string {
  const width = Math.max(...COMMANDS.map((command) => command.name.length));
  const lines = [
    "pilotboat: an Envoy as a member of an Istio mesh, anywhere",
    "",
    "Usage: pilotboat <command> [flags]",
  ];
  for (const group of new Set(COMMANDS.map((command) => command.group))) {
    lines.push("", `${group}:`);
    for (const command of COMMANDS.filter((entry) => entry.group === group)) {
      lines.push(`  ${command.name.padEnd(width)}  ${command.summary}`);
    }
  }
  return `${[...lines, "", 'Run "pilotboat <command> --help" for the flags and examples of a command.'].join("\n")}\n`;
}
