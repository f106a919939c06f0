import type { Command } from "commander";
import { AgentError, parseGoDuration, toMs } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { isNamespaceName, KUBERNETES_NAME } from "../istio/index.ts";
import { type Cluster, openCluster } from "../kubernetes/index.ts";

/** The words by which people name a cluster, as with kubectl. */
export interface ClusterWords {
  readonly context?: string;
  readonly kubeconfig?: string;
  readonly requestTimeout: string;
  readonly istioNamespace: string;
}

export function withClusterWords(program: Command): Command {
  return program
    .option("--context <name>", "context of the kubeconfig; default: the current one")
    .option("--kubeconfig <file>", "the kubeconfig; default: KUBECONFIG, else ~/.kube/config")
    .option("--istio-namespace <name>", "where istiod runs", "istio-system")
    .option("--request-timeout <time>", "how long the API server may take for one answer", "30s");
}

/** Rejects with USAGE or KUBECONFIG_INVALID. Nothing is sent yet. */
export function openNamedCluster(words: ClusterWords, host: Host): Promise<Cluster> {
  const { context, kubeconfig } = words;
  checkNamespace("--istio-namespace", words.istioNamespace);
  const requestLimitMs = parseDuration("--request-timeout", words.requestTimeout);
  return openCluster({ context, kubeconfig, host, requestLimitMs });
}

/** Throws USAGE. */
export function checkNamespace(flag: string, name: string): void {
  if (!isNamespaceName(name)) throw new AgentError("USAGE", `Cannot use ${flag} "${name}", wanted ${KUBERNETES_NAME}`);
}

/** Milliseconds of Go's duration text, at least a second. Throws USAGE. */
export function parseDuration(flag: string, text: string): number {
  const ns = parseGoDuration(text);
  if (ns === undefined || ns < 1_000_000_000n) {
    throw new AgentError("USAGE", `Cannot use ${flag} "${text}", wanted a time of at least 1s such as 30s or 12h`);
  }
  return toMs(ns);
}
