import { AgentError, type Host } from "../base/index.ts";
import { askVersion } from "../envoy/binary/index.ts";
import { agentExitCode, describeEnd, type EnvoyEnd, endError } from "../envoy/supervisor/index.ts";

/**
 * Says on stderr why there is no Envoy any more, and resolves with the exit code. `named` is the absolute path of an
 * executable that somebody named: one that ended at once, without a line of Envoy's, is asked whether it is an Envoy.
 */
export async function tellEnvoyEnd(end: EnvoyEnd, named: string | undefined, { stderr }: Host): Promise<number> {
  const stranger = await strangerError(end, named);
  const error = stranger ?? endError(end);
  const hint = error?.hint === undefined ? "" : `  hint: ${error.hint}\n`;
  if (error !== undefined) stderr.write(`Error: ${error.message} [${error.code}]\n${hint}`);
  return stranger === undefined ? agentExitCode(end) : 1; // the exit code of another program says nothing
}

/** Envoy's own lines, in the forms of its log and of its command line. */
const LIKE_ENVOY = /\[(critical|error|warning|info|debug|trace)\]|\t(critical|error|warn|info)\t|"level":|PARSE ERROR/;

async function strangerError(end: EnvoyEnd, named: string | undefined): Promise<AgentError | undefined> {
  if (named === undefined || end.by === "us" || end.run.wasLive || end.run.spawnFailure !== undefined) return undefined;
  if (end.lastLines.some((line) => LIKE_ENVOY.test(line)) || (await askVersion(named)) !== undefined) return undefined;
  const said = end.lastLines.at(-1)?.trim() ?? "";
  const text = `Cannot run "${named}" as Envoy: it ended at once (${describeEnd(end.run.end)})${said === "" ? "" : `: ${said}`}`;
  return new AgentError("ENVOY_NOT_EXECUTABLE", text, {
    hint: "Is this an Envoy? It does not answer --version as one does",
  });
}
