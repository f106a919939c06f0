import type { RunOutcome } from "../agent/index.ts";
import { AgentError, describeError, type ErrorCode, escapeLine } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { asCalled, PROGRAM } from "./contract/index.ts";
import { bad, faint, stderrOf, type Text, warning } from "./terminal/index.ts";

type Stderr = Pick<Host, "stderr" | "env" | "program">;

/** What a failed command prints: the message and its code, then the hint; for a bug the stack as well. */
export function printError(host: Stderr, error: unknown): void {
  stderrOf(host).print([bad("Error:"), " ", errorText(error, host.program)]);
}

/** Prints why a run failed, if it did, and gives the exit code. */
export function reportOutcome(host: Stderr, { failure, exitCode }: RunOutcome): number {
  if (failure !== undefined) printError(host, failure);
  return exitCode;
}

/** One line per warning; the command goes on. */
export function printWarnings(host: Stderr, warnings: readonly string[]): void {
  const terminal = stderrOf(host);
  for (const text of warnings)
    terminal.print([warning("warning:"), ` ${escapeLine(asCalled(text, host.program ?? PROGRAM))}\n`]);
}

/** docs/exit-codes.md. */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof AgentError)) return 1;
  return SHELL_CODES[error.code] ?? (error.kind === "usage" ? 2 : 1);
}

/** The codes of a shell for a program that it cannot start. */
const SHELL_CODES: Partial<Record<ErrorCode, number>> = { APPLICATION_NOT_EXECUTABLE: 126, APPLICATION_NOT_FOUND: 127 };

function errorText(error: unknown, program = PROGRAM): Text {
  if (!(error instanceof AgentError)) {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return `Internal failure, please report it: ${indentRest(stack)}\n`;
  }
  const [first = "", ...more] = asCalled(describeError(error), program).split("\n");
  const rest = more.map((line) => `\n${line}`).join("");
  const details = error.code === "CONFIG_INVALID" ? rest : indentRest(rest);
  const hint = error.hint === undefined ? "" : `  hint: ${escapeLine(asCalled(error.hint, program))}\n`;
  return [first, " ", faint(`[${error.code}]`), details, "\n", hint];
}

/** A message may quote another program: none of its later lines may look like a line or a hint of ours. */
function indentRest(text: string): string {
  return text.replace(/\n */g, "\n    ");
}
