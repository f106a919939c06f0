import { AgentError, type Logger } from "../../base/index.ts";
import { describeEnd, exitCodeOf } from "./child.ts";
import { couldNotStart, type RunRecord } from "./restart-policy.ts";

/** Why there is no Envoy any more. */
export type EnvoyEnd =
  | { readonly by: "us" }
  | {
      readonly by: "itself";
      readonly run: RunRecord;
      /** For people: what happened, with Envoy's own complaint. */
      readonly message: string;
      /** The last lines of Envoy's stderr, oldest first. */
      readonly lastLines: readonly string[];
    };

/** A run that ended by itself, for people: with Envoy's own last complaint when there is one. */
export function describeRun(run: RunRecord, lastLines: readonly string[]): string {
  if (run.spawnFailure !== undefined) return run.spawnFailure;
  const complaint = lastLines.filter(isComplaint).at(-1);
  return `${headline(run)}: ${describeEnd(run.end)}${complaint === undefined ? "" : `: ${complaint.trim()}`}`;
}

/** Of a backtrace only the line that says what was caught. */
function isComplaint(line: string): boolean {
  if (line.includes("backtrace.h") && !line.includes("Caught ")) return false;
  return /\[critical\]|\tcritical\t|error initializing/.test(line);
}

function headline(run: RunRecord): string {
  if (run.wasHung === true) return "Envoy stopped responding and was terminated";
  return couldNotStart(run) ? "Envoy could not start" : "Envoy exited by itself";
}

/** Whether the kernel killed it for want of memory says the evidence, which has asked the kernel. */
export function logRun(run: RunRecord, log: Logger): void {
  const { end, wasLive, pid, spawnFailure } = run;
  if (spawnFailure !== undefined) {
    log.error("Cannot restart Envoy", { reason: spawnFailure });
    return;
  }
  const fields = { reason: describeEnd(end), pid, wasLive };
  if (isGood(run)) log.info("Envoy has exited", fields);
  else log.error("Envoy has exited", fields);
}

/** The agent's exit code after this end. */
export function agentExitCode(end: EnvoyEnd): number {
  if (end.by === "us") return 0;
  return end.run.spawnFailure === undefined ? exitCodeOf(end.run.end) : 1;
}

/** The error that a command ends with after Envoy exited by itself with a failure. */
export function endError(end: EnvoyEnd): AgentError | undefined {
  return end.by === "us" || isGood(end.run) ? undefined : new AgentError("ENVOY_ENDED", end.message);
}

export function isGood({ end, spawnFailure }: RunRecord): boolean {
  return end.kind === "code" && end.code === 0 && spawnFailure === undefined;
}
