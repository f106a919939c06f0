import { shellWord } from "../../base/index.ts";
import type { AgentConfig } from "../../config/index.ts";
import type { Cluster } from "../../kubernetes/index.ts";
import { type CheckResult, runChecks } from "./check.ts";
import { clusterChecks } from "./cluster-checks.ts";
import { openCredentials } from "./credentials.ts";
import { type FoundAgent, localChecks } from "./local-checks.ts";

export interface DoctorOptions {
  /** That of a sidecar in the folder, from the doctor's own environment. */
  readonly config: AgentConfig;
  readonly agent: FoundAgent | undefined;
  /** Rejects with KUBECONFIG_INVALID or KUBECONFIG_MISSING. */
  readonly openCluster: () => Promise<Cluster>;
  /** The cluster is left alone. */
  readonly isLocal: boolean;
  readonly istioNamespace: string;
  readonly revision: string | undefined;
}

/** Looks at every precondition of a sidecar on this machine, in order. Rejects with the reason of `stop` only. */
export async function examine(options: DoctorOptions, stop: AbortSignal): Promise<readonly CheckResult[]> {
  const { config, agent, isLocal, istioNamespace, revision } = options;
  const { podNamespace, serviceAccount, clusterId } = config.settings;
  const identity = { namespace: podNamespace, serviceAccount };
  await using credentials = openCredentials(config.cwd, { ...identity, clusterId }, stop);
  const credentialsCommand = commandOf(config);
  const cluster = once(options.openCluster);
  const places = async () => ({
    workloadNamespace: podNamespace || (await cluster()).namespace,
    serviceAccount: serviceAccount || "default",
    istioNamespace,
    revision,
  });
  const local = localChecks({ config, agent, credentials, credentialsCommand });
  const remote = clusterChecks({
    ...{ isLocal, cluster, places, istioNamespace, revision },
    ...{ clusterId, identity, credentials, credentialsCommand },
  });
  try {
    return await runChecks([...local, ...remote.checks], stop);
  } finally {
    await remote.close();
  }
}

/** Whose credentials they are to be, as far as the configuration says. */
function commandOf({ cwd, settings: { podNamespace, serviceAccount } }: AgentConfig): string {
  const words = [
    "pilotboat credentials",
    ...(podNamespace === "" ? [] : [`-n ${shellWord(podNamespace)}`]),
    ...(serviceAccount === "" ? [] : [`--service-account ${shellWord(serviceAccount)}`]),
    `--run-folder ${shellWord(cwd)}`,
  ];
  return words.join(" ");
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
