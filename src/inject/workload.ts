import type { Workload } from "./pod/injector.ts";
import { isTree, type Tree, textsOf, treeOf, treesOf } from "./pod/json.ts";

/** The pod in a manifest, and who owns the pods that will be made of it. */
export interface FoundPod {
  readonly pod: Tree;
  readonly workload: Workload;
  /** The manifest with another pod in its place. */
  replace(pod: Tree): Tree;
}

/** Where the kinds of Kubernetes keep their pods. */
const PLACES: Readonly<Record<string, { readonly apiVersion: RegExp; readonly path: readonly string[] }>> = {
  Pod: { apiVersion: /^v1$/, path: [] },
  ReplicationController: { apiVersion: /^v1$/, path: ["spec", "template"] },
  Deployment: { apiVersion: /^apps\/v1$/, path: ["spec", "template"] },
  StatefulSet: { apiVersion: /^apps\/v1$/, path: ["spec", "template"] },
  DaemonSet: { apiVersion: /^apps\/v1$/, path: ["spec", "template"] },
  ReplicaSet: { apiVersion: /^apps\/v1$/, path: ["spec", "template"] },
  Job: { apiVersion: /^batch\/v1$/, path: ["spec", "template"] },
  CronJob: { apiVersion: /^batch\/v1$/, path: ["spec", "jobTemplate", "spec", "template"] },
};

/** Undefined where a manifest is of no kind that has pods. Throws where it should have one and does not. */
export function findPod(manifest: Tree, namespace: string): FoundPod | undefined {
  const { apiVersion, kind } = manifest;
  const place = Object.hasOwn(PLACES, String(kind)) ? PLACES[String(kind)] : undefined;
  if (place === undefined || !place.apiVersion.test(String(apiVersion))) return undefined;
  const template = place.path.reduce<unknown>((tree, key) => treeOf(tree)[key], manifest);
  if (!isTree(template) || !isTree(template.spec)) {
    throw new Error(`${[...place.path, "spec"].join(".")} is missing, wanted the spec of a pod`);
  }
  const metadata = treeOf(manifest.metadata);
  const own = String(metadata.namespace ?? namespace);
  const pod = { ...template, metadata: { ...treeOf(template.metadata), namespace: own } };
  return {
    pod,
    workload: { ...ownerOf(manifest, pod), namespace: own },
    replace: (changed) => replaceAt(manifest, place.path, asTemplate(changed, template)),
  };
}

/** Whether a manifest of another kind carries what looks like a pod, as an Argo Rollout does. */
export function hasUnknownPod(manifest: Tree): boolean {
  return treesOf(treeOf(treeOf(treeOf(manifest.spec).template).spec).containers).length > 0;
}

/** The namespace was ours to tell. */
function asTemplate(pod: Tree, template: Tree): Tree {
  const { namespace: _, ...metadata } = treeOf(pod.metadata);
  const written = treeOf(template.metadata).namespace;
  return { ...pod, metadata: { ...metadata, ...(written !== undefined && { namespace: written }) } };
}

function replaceAt(tree: Tree, [key, ...rest]: readonly string[], value: Tree): Tree {
  return key === undefined ? value : { ...tree, [key]: replaceAt(treeOf(tree[key]), rest, value) };
}

/** As the injector concludes from the pods' owners. Source: istio/istio pkg/kube/controllers.go (GetDeployMetaFromPod). */
function ownerOf({ apiVersion, kind, metadata }: Tree, pod: Tree): Omit<Workload, "namespace"> {
  const { name, generateName, ownerReferences } = treeOf(metadata);
  const named = { apiVersion: String(apiVersion), kind: String(kind), name: String(name ?? "") };
  const labels = textsOf(treeOf(pod.metadata).labels);
  if (kind !== "Pod") return conclude(named, labels);
  const owner = treesOf(ownerReferences).find(({ controller }) => controller === true);
  if (owner === undefined || !generateName) return { ...named, apiVersion: "v1", kind: "Pod" };
  return conclude({ apiVersion: String(owner.apiVersion), kind: String(owner.kind), name: String(owner.name) }, labels);
}

type Owner = Omit<Workload, "namespace">;

function conclude(owner: Owner, labels: Readonly<Record<string, string>>): Owner {
  const without = (hash: string | undefined): string | undefined =>
    hash && owner.name.endsWith(`-${hash}`) ? owner.name.slice(0, -hash.length - 1) : undefined;
  if (owner.kind === "ReplicaSet") {
    const deployment = without(labels["pod-template-hash"]);
    if (deployment !== undefined) return { ...owner, kind: "Deployment", name: deployment };
    const rollout = without(labels["rollouts-pod-template-hash"]);
    if (rollout !== undefined) return { apiVersion: "v1alpha1", kind: "Rollout", name: rollout };
  }
  const config = labels.deploymentconfig;
  if (owner.kind === "ReplicationController" && config) return { ...owner, kind: "DeploymentConfig", name: config };
  const cron = owner.kind === "Job" ? /^(.+)-\d{8,10}$/.exec(owner.name)?.[1] : undefined;
  return cron === undefined ? owner : { apiVersion: "batch/v1", kind: "CronJob", name: cron };
}
