import { finishOutput, type Host, lossyOutput } from "../host/index.ts";
import type { Cluster } from "../kubernetes/index.ts";
import { type ClonePlan, enterClone } from "../local/cluster/index.ts";
import { type ListenerAddress, type RunOptions, runApplication } from "../local/index.ts";
import type { CLONE_FLAGS } from "./clone-flags.ts";
import { describeClone, printClone } from "./clone-table.ts";
import { confirmCluster } from "./cluster-words.ts";
import type { FlagValues } from "./contract/index.ts";
import { runNews } from "./run-words.ts";

export interface PlannedRun {
  readonly cluster: Cluster;
  readonly plan: ClonePlan;
  /** For people: `the clone of pod "web"`, and what is about to be done: `clone pod "web"`. */
  readonly what: string;
  readonly action: string;
  readonly flags: Omit<FlagValues<typeof CLONE_FLAGS>, "register">;
  /** Flags of `proxy`. */
  readonly proxy: readonly string[];
  readonly readyTimeoutMs: number;
  readonly command: RunOptions["command"];
  readonly tries?: (at: (port: number) => ListenerAddress) => readonly string[];
  /** What the tries are missing. */
  readonly notes?: readonly string[];
}

/** Prints a plan, asks where it has to, and runs it. Resolves with the exit code of the application, or 0. */
export async function runPlan(run: PlannedRun, host: Host): Promise<number> {
  const { cluster, plan, flags, command } = run;
  const isDry = flags["dry-run"];
  const told = describeClone(plan, { context: cluster.context, what: run.what });
  printClone(told, flags.output === "json", isDry ? host : { ...host, stdout: host.stderr });
  if (isDry) return 0;
  await confirmCluster(cluster, run.action, flags, host);
  const stderr = lossyOutput(host.stderr);
  const own: Host = { ...host, stderr };
  const entry = {
    ...{ cluster, plan, host: own, tries: run.tries, notes: run.notes },
    istioNamespace: flags["istio-namespace"],
    revision: plan.presents.revision,
  };
  try {
    return await runApplication(
      {
        ...{ command, flags: run.proxy, readyTimeoutMs: run.readyTimeoutMs },
        isVerbose: flags.verbose,
        local: undefined,
        ...runNews(own),
        workload: (log) => enterClone({ ...entry, log }),
      },
      own,
    );
  } finally {
    await finishOutput(stderr);
  }
}
