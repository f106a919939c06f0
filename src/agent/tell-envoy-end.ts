import { AgentError, escapeLine, type Logger } from "../base/index.ts";
import { askVersion } from "../envoy/binary/index.ts";
import { agentExitCode, describeEnd, type EnvoyEnd, endError, type RunRecord } from "../envoy/supervisor/index.ts";
import { logFailure } from "./log-sink.ts";

export interface Listeners {
  /** Absolute path of an executable that somebody named: one that ended at once, and not as Envoy does, may be none. */
  readonly named: string | undefined;
  /** For that executable, when it is asked what it is. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stderr: NodeJS.WritableStream;
  readonly log: Logger;
}

/** Says on stderr and in the log why there is no Envoy any more, and resolves with the exit code. */
export async function tellEnvoyEnd(end: EnvoyEnd, { named, env, stderr, log }: Listeners): Promise<number> {
  const stranger = await strangerError(end, named, env);
  const error = stranger ?? endError(end);
  if (error === undefined) log.info(end.by === "us" ? "Envoy was terminated" : end.message);
  else {
    logFailure(error, log);
    const hint = error.hint === undefined ? "" : `  hint: ${escapeLine(error.hint)}\n`;
    stderr.write(`Error: ${escapeLine(error.message)} [${error.code}]\n${hint}`);
  }
  return stranger === undefined ? agentExitCode(end) : 1; // the exit code of another program says nothing
}

/** Envoy's own lines, in the forms of its log and of its command line. */
const LIKE_ENVOY = /\[(critical|error|warning|info|debug|trace)\]|\t(critical|error|warn|info)\t|"level":|PARSE ERROR/;

async function strangerError(
  end: EnvoyEnd,
  named: string | undefined,
  env: Listeners["env"],
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

/** Somebody else did that: the kernel for want of memory, the kubelet, a person. It says nothing of the program. */
function isKilled(end: RunRecord["end"]): boolean {
  return end.kind === "signal" && ["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"].includes(end.signal);
}
