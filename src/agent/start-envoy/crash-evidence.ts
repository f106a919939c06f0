import { resolve } from "node:path";
import type { Logger } from "../../base/index.ts";
import type { AgentConfig } from "../../config/index.ts";
import { type CrashFacts, keepEvidence } from "../../envoy/evidence/index.ts";
import { configFileOf } from "../../envoy/index.ts";
import { couldNotStart, describeEnd, exitCodeOf, type RunRecord, type Traces } from "../../envoy/supervisor/index.ts";
import type { Cgroup } from "../../host/index.ts";
import { inRunFolder } from "../run-folder/index.ts";

/** Keeps what is to be known of Envoys that failed. */
export interface EvidenceKeeper {
  /** To be called at each spawn: what the kernel has killed before is not this Envoy. */
  noteSpawn(): void;
  keep(run: RunRecord, traces: Traces): Promise<string | undefined>;
}

export function evidenceKeeper(
  config: AgentConfig,
  version: string | undefined,
  cgroup: Cgroup,
  log: Logger,
): EvidenceKeeper {
  const folder = inRunFolder(config, config.settings.crashFolder || `${config.proxy.configPath}/crashes`);
  let before: Promise<number | undefined> = Promise.resolve(undefined);
  return {
    noteSpawn() {
      before = cgroup.oomKills();
    },
    async keep(run, traces) {
      const [oomKillsBefore, oomKillsAfter] = await Promise.all([before, cgroup.oomKills()]);
      return keepEvidence(folder, { ...crashFacts(run, traces), version, oomKillsBefore, oomKillsAfter }, { log });
    },
  };
}

function crashFacts(
  run: RunRecord,
  { lastLines, threads, spawn }: Traces,
): Omit<CrashFacts, "version" | "oomKillsBefore" | "oomKillsAfter"> {
  const { end, pid, startedMs, endedMs, wasLive } = run;
  const { binary, args, cwd } = spawn;
  return {
    what: verdict(run),
    reason: run.wasHung === true ? "the admin stopped answering" : describeEnd(end),
    ...{ pid, startedMs, endedMs, wasLive, lastLines, threads, binary, args, cwd },
    exitCode: end.kind === "code" ? exitCodeOf(end) : undefined,
    signal: end.kind === "signal" ? end.signal : undefined,
    bootstrapFile: resolve(cwd, configFileOf(args)),
  };
}

function verdict(run: RunRecord): string {
  if (run.wasHung === true) return "hung";
  if (couldNotStart(run)) return "could not start";
  return run.end.kind === "signal" ? "crashed" : "exited";
}
