import { AgentError, parseGoDuration, toMs } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { isNamespaceName, KUBERNETES_NAME } from "../istio/index.ts";
import type { Cluster } from "../kubernetes/index.ts";
import type { FlagValues } from "./contract/index.ts";

/** The flags by which people name a cluster, as with kubectl. */
export const CLUSTER_FLAGS = [
  {
    name: "context",
    type: "string",
    default: undefined,
    help: "Context of the kubeconfig; default: the current one",
    value: "NAME",
  },
  {
    name: "kubeconfig",
    type: "string",
    default: undefined,
    help: "The kubeconfig; default: KUBECONFIG, else ~/.kube/config",
    value: "FILE",
  },
  { name: "istio-namespace", type: "string", default: "istio-system", help: "Where istiod runs", value: "NAME" },
  {
    name: "request-timeout",
    type: "string",
    default: "30s",
    help: "Time limit of one answer of the API server",
    value: "TIME",
  },
] as const;

export type ClusterWords = FlagValues<typeof CLUSTER_FLAGS>;

/** Rejects with USAGE or KUBECONFIG_INVALID. Nothing is sent yet. */
export async function openNamedCluster(words: ClusterWords, host: Host): Promise<Cluster> {
  const { context, kubeconfig } = words;
  checkNamespace("--istio-namespace", words["istio-namespace"]);
  const requestLimitMs = parseDuration("--request-timeout", words["request-timeout"]);
  const { openCluster } = await import("../kubernetes/index.ts");
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
