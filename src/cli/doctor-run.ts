import { resolve } from "node:path";
import { readOwnRunFile, runFilePath } from "../agent/run-folder/index.ts";
import { escapeLine } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { type CheckResult, examine, exitCodeOf, type FoundAgent, type State } from "../local/doctor/index.ts";
import { readAnswer } from "./agent-answer.ts";
import { type AgentPlace, placeOf } from "./agent-place.ts";
import { callAgent } from "./call-agent.ts";
import { type ClusterWords, openNamedCluster } from "./cluster-words.ts";
import { asCalled, PROGRAM } from "./contract/index.ts";
import { loadProxyWords } from "./proxy-words.ts";
import { bad, faint, good, nameTable, stdoutOf, type Text, warning } from "./terminal/index.ts";

interface Flags extends ClusterWords {
  readonly "run-folder": string | undefined;
  readonly "config-path": string;
  readonly revision: string | undefined;
  readonly local: boolean;
  readonly output: string | undefined;
}

/** Prints all findings. Resolves with the exit code. */
export async function diagnose(flags: Flags, folder: string | undefined, host: Host): Promise<number> {
  const place = placeOf(flags, folder);
  const { config } = await loadProxyWords(["--run-folder", resolve(host.cwd, place.runFolder)], host);
  const results = await examine(
    {
      config,
      agent: await findAgent(host, place),
      openCluster: () => openNamedCluster(flags, host),
      isLocal: flags.local,
      istioNamespace: flags["istio-namespace"],
      revision: flags.revision,
    },
    host.signals.stop,
  );
  const terminal = stdoutOf(host);
  terminal.print(
    flags.output === "json"
      ? `${JSON.stringify({ folder: config.cwd, worst: worstOf(results), checks: results }, null, 2)}\n`
      : asText(asCalled(results, host.program ?? PROGRAM), terminal.width),
  );
  return exitCodeOf(results);
}

const LIMIT_MS = 5_000;

/** Undefined when none runs there, or none that answers. */
async function findAgent(host: Host, place: AgentPlace): Promise<FoundAgent | undefined> {
  try {
    const { body } = await callAgent(host, place, { method: "GET", path: "/debug/agent", limitMs: LIMIT_MS });
    const { pid, envoys } = await readOwnRunFile(resolve(host.cwd, place.runFolder, runFilePath(place.configPath)));
    const report = readAnswer(body, (found: FoundAgent["report"]) => found);
    return { pid, envoyPids: envoys.map((envoy) => envoy.pid), report };
  } catch {
    return undefined; // a folder without an agent is the usual case
  }
}

/** From good to bad. */
const STATES: readonly State[] = ["skipped", "ok", "warning", "failed"];

function worstOf(results: readonly CheckResult[]): State {
  return results.reduce<State>(
    (worst, { state }) => (STATES.indexOf(state) > STATES.indexOf(worst) ? state : worst),
    "skipped",
  );
}

function asText(results: readonly CheckResult[], width: number | undefined): Text {
  const rows = results.map(({ name, state, found, fix }): readonly [string, Text] => [
    name,
    [shown(state), `: ${escapeLine(found)}`, ...(fix === undefined ? [] : [faint(`. ${escapeLine(fix)}`)])],
  ]);
  return nameTable(rows, { width });
}

function shown(state: State): Text {
  const styles = { ok: good, warning, failed: bad, skipped: faint } as const;
  return styles[state](state);
}
