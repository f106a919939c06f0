import type { Cluster, KubeObject } from "../../kubernetes/index.ts";
import { chooseRevision, DEFAULT_REVISION, REVISION, resolveRevision } from "./istiod-pods.ts";
import type { Pod } from "./pod.ts";
import { unlessUnreadable } from "./unreadable.ts";

export interface RevisionSource {
  readonly cluster: Cluster;
  readonly istioNamespace: string;
  /** What somebody has typed. */
  readonly revision?: string | undefined;
}

/**
 * The revision of istiod that serves a pod: what was typed, the pod's annotation or label, its namespace's label, else
 * `default` or the only one of `istiods`. A tag stands for its revision. Undefined when nothing says it. Rejects with USAGE
 * when one of several has to be named, or with what the cluster rejects with.
 * Source: istio.io, "Canary Upgrades" and "Installing the Sidecar": labels istio.io/rev and istio-injection, revision tags.
 */
export async function findRevision(
  source: RevisionSource,
  { metadata = {} }: Pod,
  istiods: readonly KubeObject[],
  signal: AbortSignal,
): Promise<string | undefined> {
  const { cluster, istioNamespace } = source;
  const resolve = (revision: string): Promise<string | undefined> =>
    resolveRevision(cluster, { istioNamespace, revision }, istiods, signal);
  const own = source.revision ?? metadata.annotations?.[REVISION] ?? metadata.labels?.[REVISION];
  if (own !== undefined) return (await resolve(own)) ?? own;
  const labels = await labelsOf(cluster, metadata.namespace, signal);
  const isInjected = labels["istio-injection"] === "enabled"; // which wins over a revision
  const ofNamespace = isInjected ? DEFAULT_REVISION : labels[REVISION];
  const found = ofNamespace === undefined ? undefined : await resolve(ofNamespace);
  if (found !== undefined) return found;
  if (ofNamespace !== undefined && !isInjected) return ofNamespace;
  return istiods.length === 0 ? undefined : chooseRevision(istiods, istioNamespace);
}

async function labelsOf(cluster: Cluster, name = "default", signal: AbortSignal) {
  const namespace = await cluster.get({ resource: "namespaces", name }, signal).catch(unlessUnreadable);
  return namespace?.metadata?.labels ?? {};
}
