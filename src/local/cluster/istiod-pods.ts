import { AgentError } from "../../base/index.ts";
import { type Cluster, type KubeObject, nearNames } from "../../kubernetes/index.ts";
import { isReady, podOf, stateOf } from "./pod.ts";
import { unlessUnreadable } from "./unreadable.ts";

/** A place at which istiod answers. */
export interface IstiodPod {
  readonly namespace: string;
  readonly name: string;
  readonly revision: string;
}

export interface IstiodChoice {
  readonly istioNamespace: string;
  /** Undefined: `default`, or the only one there is. */
  readonly revision?: string | undefined;
}

const APP = { labelSelector: "app=istiod" };
/** Label of istiod, of namespaces and of pods. */
export const REVISION = "istio.io/rev";
export const DEFAULT_REVISION = "default";
/** Of the Service, and where istiod listens unless its Service says otherwise. */
const XDS_PORT = 15_012;

/** All pods of istiod, of every revision. Rejects with what the cluster rejects with. */
export function istiodPods(cluster: Cluster, istioNamespace: string, signal: AbortSignal) {
  return cluster.list({ resource: "pods", namespace: istioNamespace }, APP, signal);
}

/**
 * The pods of one revision of istiod, or of a tag of it, that are ready. Rejects with KUBE_NOT_FOUND when there is none, which says what there
 * is instead, USAGE when one of several revisions has to be named, or with what the cluster rejects with.
 */
export async function readyIstiods(
  cluster: Cluster,
  { istioNamespace, revision }: IstiodChoice,
  signal: AbortSignal,
): Promise<readonly IstiodPod[]> {
  const pods = await istiodPods(cluster, istioNamespace, signal);
  const wanted =
    revision === undefined
      ? chooseRevision(pods, istioNamespace)
      : ((await resolveRevision(cluster, { istioNamespace, revision }, pods, signal)) ?? revision);
  const fitting = pods.filter((pod) => revisionOf(pod) === wanted);
  const ready = fitting.filter((pod) => isReady(podOf(pod)));
  if (ready.length > 0) return ready.map((pod) => ({ namespace: istioNamespace, name: nameOf(pod), revision: wanted }));
  throw noneReady(cluster.context, { istioNamespace, revision: wanted, fitting, pods });
}

/** What the ready pods of a revision say of themselves. */
export interface IstiodFacts {
  readonly revision: string;
  /** Names. */
  readonly pods: readonly string[];
  /** Tags of their images that are versions. */
  readonly versions: readonly string[];
  /** Values of CLUSTER_ID. */
  readonly clusterIds: readonly string[];
}

/** Rejects as `readyIstiods` does. */
export async function istiodFacts(cluster: Cluster, choice: IstiodChoice, signal: AbortSignal): Promise<IstiodFacts> {
  const ready = await readyIstiods(cluster, choice, signal);
  const names = ready.map(({ name }) => name);
  const pods = await istiodPods(cluster, choice.istioNamespace, signal);
  const containers = pods
    .filter((pod) => names.includes(nameOf(pod)))
    .flatMap(({ spec }) => (spec as { readonly containers?: readonly Container[] } | undefined)?.containers ?? []);
  const versions = containers.map(({ image = "" }) => /:v?(\d+\.\d+[^:@/]*)/.exec(image)?.[1]);
  const clusterIds = containers.flatMap(({ env = [] }) => env.filter(({ name }) => name === "CLUSTER_ID"));
  return {
    revision: ready[0]?.revision ?? DEFAULT_REVISION,
    pods: names,
    versions: [...new Set(versions)].filter((one) => one !== undefined),
    clusterIds: [...new Set(clusterIds.map(({ value }) => value))].filter((one) => one !== undefined),
  };
}

interface Container {
  readonly image?: string;
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
}

/**
 * The revision itself where one of `pods` has it, else the one that a tag of this name leads to; undefined when nothing says
 * so, or the tags may not be read. Source: Istio's charts, revision-tags-svc.yaml and revision-tags-mwc.yaml.
 */
export async function resolveRevision(
  cluster: Cluster,
  { istioNamespace, revision }: { readonly istioNamespace: string; readonly revision: string },
  pods: readonly KubeObject[],
  signal: AbortSignal,
): Promise<string | undefined> {
  if (pods.some((pod) => revisionOf(pod) === revision)) return revision;
  if (pods.length === 0) return undefined;
  const selector = { labelSelector: `istio.io/tag=${revision}` };
  const webhooks = { apiVersion: "admissionregistration.k8s.io/v1", resource: "mutatingwebhookconfigurations" };
  for (const what of [{ resource: "services", namespace: istioNamespace }, webhooks]) {
    const [tag] = (await cluster.list(what, selector, signal).catch(unlessUnreadable)) ?? [];
    const found = tag?.metadata?.labels?.[REVISION];
    if (found !== undefined) return found;
  }
  return undefined;
}

/** `default`, or the only one there is. Throws USAGE. */
export function chooseRevision(pods: readonly KubeObject[], istioNamespace: string): string {
  const revisions = [...new Set(pods.map(revisionOf))].sort();
  const [only = DEFAULT_REVISION] = revisions;
  if (revisions.length < 2 || revisions.includes(DEFAULT_REVISION)) {
    return revisions.includes(DEFAULT_REVISION) ? DEFAULT_REVISION : only;
  }
  throw new AgentError(
    "USAGE",
    `Cannot choose an istiod in namespace "${istioNamespace}": there are several revisions`,
    {
      hint: `Name one: ${revisions.map((one) => `--revision ${one}`).join(", ")}`,
    },
  );
}

function noneReady(
  context: string,
  found: {
    readonly istioNamespace: string;
    readonly revision: string;
    readonly fitting: readonly KubeObject[];
    readonly pods: readonly KubeObject[];
  },
): AgentError {
  const { istioNamespace, revision, fitting, pods } = found;
  const where = `revision "${revision}" in namespace "${istioNamespace}" of context "${context}"`;
  if (fitting.length > 0) {
    const states = fitting.map((pod) => `"${nameOf(pod)}" ${stateOf(podOf(pod))}`).join(", ");
    const hint = `Look with: kubectl -n ${istioNamespace} describe pods -l app=istiod`;
    return new AgentError("KUBE_NOT_FOUND", `Cannot find a ready istiod of ${where}: ${states}`, { hint });
  }
  const others = [...new Set(pods.map(revisionOf))];
  const hint =
    others.length === 0
      ? "Is Istio installed in another namespace (--istio-namespace), or this the wrong context (--context)?"
      : `There are: ${[...new Set([...nearNames(revision, others), ...others])].map((one) => `--revision ${one}`).join(", ")}`;
  return new AgentError("KUBE_NOT_FOUND", `Cannot find an istiod of ${where}: there is no pod with app=istiod of it`, {
    hint,
  });
}

function revisionOf({ metadata }: KubeObject): string {
  return metadata?.labels?.[REVISION] ?? DEFAULT_REVISION;
}

function nameOf({ metadata }: KubeObject): string {
  return metadata?.name ?? "";
}

interface Service {
  readonly selector?: Readonly<Record<string, string>>;
  readonly ports?: readonly { readonly port: number; readonly targetPort?: number | string }[];
}

/**
 * The port of the pod behind the Service's 15012. 15012 itself when no Service says otherwise, or it may not be read: hardly
 * anybody has another.
 */
export async function xdsPortOf(cluster: Cluster, pod: IstiodPod, signal: AbortSignal): Promise<number> {
  const what = { resource: "services", namespace: pod.namespace };
  const services = (await cluster.list(what, APP, signal).catch(unlessUnreadable)) ?? [];
  const targets = services
    .filter(({ metadata, spec }) => {
      const selected = (spec as Service | undefined)?.selector?.[REVISION] ?? metadata?.labels?.[REVISION];
      return (selected ?? DEFAULT_REVISION) === pod.revision;
    })
    .flatMap(({ spec }) => (spec as Service | undefined)?.ports ?? [])
    .filter(({ port }) => port === XDS_PORT)
    .map(({ targetPort }) => targetPort);
  return targets.find((port) => typeof port === "number") ?? XDS_PORT;
}
