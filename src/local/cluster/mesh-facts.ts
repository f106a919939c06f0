import type { Cluster, KubeObject } from "../../kubernetes/index.ts";
import { DEFAULT_REVISION, REVISION } from "./istiod-pods.ts";
import { podOf } from "./pod.ts";
import { isUnreadable, type Unread, unread } from "./unreadable.ts";

/** What a mesh says to every proxy that was not told otherwise. */
export interface MeshFacts {
  readonly trustDomain: string;
  readonly meshId: string;
  readonly clusterId: string;
  /** Empty for none. */
  readonly network: string;
  /** DNS domain of the cluster: `cluster.local`. */
  readonly domain: string;
  /** `defaultConfig` of the mesh. */
  readonly proxyConfig: Readonly<Record<string, unknown>>;
  /** ConfigMaps in whose place Istio's own defaults hold. */
  readonly unread: readonly Unread[];
}

type Tree = Readonly<Record<string, unknown>>;

/**
 * Reads ConfigMaps `istio[-REVISION]` and `istio-sidecar-injector[-REVISION]`, and how `istiods`, the pods, were started. What
 * is not there, or may not be read, has Istio's own default. Rejects with what the cluster rejects with when it cannot answer.
 */
export async function readMeshFacts(
  cluster: Cluster,
  {
    istioNamespace,
    revision = DEFAULT_REVISION,
  }: { readonly istioNamespace: string; readonly revision?: string | undefined },
  istiods: readonly KubeObject[],
  signal: AbortSignal,
): Promise<MeshFacts> {
  const suffix = revision === DEFAULT_REVISION ? "" : `-${revision}`;
  const missing: Unread[] = [];
  const configMap = (name: string): Promise<KubeObject | undefined> =>
    cluster.get({ resource: "configmaps", namespace: istioNamespace, name }, signal).catch((error: unknown) => {
      if (!isUnreadable(error)) throw error;
      missing.push(unread(`ConfigMap "${name}" in namespace "${istioNamespace}"`, error));
      return undefined;
    });
  const [meshMap, injectorMap] = await Promise.all([
    configMap(`istio${suffix}`),
    configMap(`istio-sidecar-injector${suffix}`),
  ]);
  const mesh = await parseYaml(dataOf(meshMap, "mesh"));
  const global = treeOf((await parseYaml(dataOf(injectorMap, "values"))).global);
  const multiCluster = treeOf(global.multiCluster);
  const trustDomain = textOf(mesh.trustDomain) ?? textOf(global.trustDomain) ?? "cluster.local";
  return {
    trustDomain,
    meshId: textOf(global.meshID) ?? trustDomain,
    clusterId: textOf(multiCluster.clusterName) ?? clusterIdOf(istiods, revision) ?? "Kubernetes",
    network: textOf(global.network) ?? "",
    domain: textOf(treeOf(global.proxy).clusterDomain) ?? "cluster.local",
    proxyConfig: treeOf(mesh.defaultConfig),
    unread: missing,
  };
}

/** A map of YAML or JSON; an empty one for everything else. */
export async function parseYaml(text: string): Promise<Tree> {
  const { parse } = await import("yaml");
  try {
    return treeOf(parse(text));
  } catch {
    return {}; // whoever reads it for good tells
  }
}

function clusterIdOf(istiods: readonly KubeObject[], revision: string): string | undefined {
  const fitting = istiods.filter(({ metadata }) => (metadata?.labels?.[REVISION] ?? DEFAULT_REVISION) === revision);
  const containers = fitting.flatMap((pod) => podOf(pod).spec?.containers ?? []);
  return containers
    .flatMap(({ env = [] }) => env)
    .map(({ name, value }) => (name === "CLUSTER_ID" ? textOf(value) : undefined))
    .find((value) => value !== undefined);
}

function dataOf(object: KubeObject | undefined, key: string): string {
  return textOf(treeOf(object?.data)[key]) ?? "";
}

function treeOf(value: unknown): Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Tree) : {};
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
