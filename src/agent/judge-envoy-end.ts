import { AgentError, type Logger } from "../base/index.ts";
import { askVersion } from "../envoy/binary/index.ts";
import { agentExitCode, describeEnd, type EnvoyEnd, endError, type RunRecord } from "../envoy/supervisor/index.ts";
import { logFailure } from "./log-sink.ts";

/** How a run ended, for the command that started it. */
export interface RunOutcome {
  readonly exitCode: number;
  /** Why the run failed; the log already has it. Undefined when it ended well. */
  readonly failure: AgentError | undefined;
}

export interface EndContext {
  /** Absolute path of the executable that the user chose. If it exited at once and not as Envoy does, it may not be an Envoy. */
  readonly named: string | undefined;
  /** Environment in which that executable is asked for its version. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: Logger;
}

/** Logs why Envoy ended, and resolves with what that means for the run: ENVOY_ENDED, or ENVOY_NOT_EXECUTABLE. */
export async function judgeEnvoyEnd(end: EnvoyEnd, { named, env, log }: EndContext): Promise<RunOutcome> {
  const stranger = await strangerError(end, named, env);
  const failure = stranger ?? endError(end);
  if (failure === undefined) log.info(end.by === "us" ? "Envoy was terminated" : end.message);
  else logFailure(failure, log);
  return { failure, exitCode: stranger === undefined ? agentExitCode(end) : 1 }; // the exit code of another program says nothing
}

/** Envoy's own lines, in the forms of its log and of its command line. */
const LIKE_ENVOY = /\[(critical|error|warning|info|debug|trace)\]|\t(critical|error|warn|info)\t|"level":|PARSE ERROR/;

async function strangerError(
  end: EnvoyEnd,
  named: string | undefined,
  env: EndContext["env"],
): Promise<AgentError | undefined> {
  if (named === undefined || end.by === "us" || end.run.wasLive || end.run.spawnFailure !== undefined) return undefined;
  if (isKilled(end.run.end)) return undefined;
  if (end.lastLines.some((line) => LIKE_ENVOY.test(line))) return undefined;
  if ((await askVersion(named, env)) !== undefined) return undefined;
  const said = end.lastLines.at(-1)?.trim() ?? "";
  const text = `Cannot run "${named}" as Envoy: it exited at once (${describeEnd(end.run.end)})${said === "" ? "" : `: ${said}`}`;
  return new AgentError("ENVOY_NOT_EXECUTABLE", text, {
    hint: "Is this an Envoy? Its --version output is not Envoy's",
  });
}

/** The kernel (out of memory), the kubelet or a person did that. It says nothing about the program. */
function isKilled(end: RunRecord["end"]): boolean {
  return end.kind === "signal" && ["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"].includes(end.signal);
}
