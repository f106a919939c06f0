import { AgentError } from "../../base/index.ts";
import type { Cluster, KubeObject } from "../../kubernetes/index.ts";
import { podOf } from "./pod.ts";

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
}

type Tree = Readonly<Record<string, unknown>>;

/**
 * Reads ConfigMaps `istio[-REVISION]` and `istio-sidecar-injector[-REVISION]`, and how istiod's pods were started. What is
 * not there, or may not be read, has Istio's own default. Rejects with what the cluster rejects with when it cannot answer.
 */
export async function readMeshFacts(
  cluster: Cluster,
  { istioNamespace, revision }: { readonly istioNamespace: string; readonly revision: string | undefined },
  signal: AbortSignal,
): Promise<MeshFacts> {
  const suffix = revision === undefined || revision === "default" ? "" : `-${revision}`;
  const configMap = (name: string): Promise<KubeObject | undefined> =>
    optional(cluster.get({ resource: "configmaps", namespace: istioNamespace, name: `${name}${suffix}` }, signal));
  const pods = { resource: "pods", namespace: istioNamespace };
  const [meshMap, injectorMap, istiods = []] = await Promise.all([
    configMap("istio"),
    configMap("istio-sidecar-injector"),
    optional(cluster.list(pods, { labelSelector: "app=istiod" }, signal)),
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

function clusterIdOf(istiods: readonly KubeObject[], revision = "default"): string | undefined {
  const fitting = istiods.filter(({ metadata }) => (metadata?.labels?.["istio.io/rev"] ?? "default") === revision);
  const containers = fitting.flatMap((pod) => podOf(pod).spec?.containers ?? []);
  return containers
    .flatMap(({ env = [] }) => env)
    .map(({ name, value }) => (name === "CLUSTER_ID" ? textOf(value) : undefined))
    .find((value) => value !== undefined);
}

async function optional<T>(asked: Promise<T>): Promise<T | undefined> {
  return asked.catch((error: unknown) => {
    const isOfTheObject = error instanceof AgentError && ["KUBE_NOT_FOUND", "KUBE_FORBIDDEN"].includes(error.code);
    if (isOfTheObject) return undefined;
    throw error;
  });
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
