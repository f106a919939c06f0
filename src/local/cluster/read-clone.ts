import type { Cluster } from "../../kubernetes/index.ts";
import type { CloneFacts } from "./clone-plan.ts";
import { configMapsOf, containerEnv } from "./container-env.ts";
import { findRevision } from "./find-revision.ts";
import { findPod, type WorkloadName } from "./find-workload.ts";
import { istiodPods } from "./istiod-pods.ts";
import { parseYaml, readMeshFacts } from "./mesh-facts.ts";
import { type Container, type Pod, proxyContainerOf } from "./pod.ts";
import { isUnreadable, type Unread, unlessUnreadable, unread } from "./unreadable.ts";

export interface CloneSource {
  readonly cluster: Cluster;
  readonly namespace: string;
  readonly workload: WorkloadName;
  readonly istioNamespace: string;
  /** Default: that of the pod, of its namespace, or the only one there is. */
  readonly revision?: string | undefined;
}

/** Reads what `planClone` wants to know; nothing is changed. Rejects as `findPod` and `readMeshFacts` do. */
export async function readClone(source: CloneSource, signal: AbortSignal): Promise<CloneFacts> {
  const pod = await findPod(source.cluster, source.namespace, source.workload, signal);
  return readFacts(pod, source, signal);
}

/** The same of a pod that is known. */
export async function readFacts(
  pod: Pod,
  source: Pick<CloneSource, "cluster" | "istioNamespace" | "revision">,
  signal: AbortSignal,
): Promise<CloneFacts> {
  const { cluster, istioNamespace } = source;
  const { annotations = {}, namespace = "default" } = pod.metadata ?? {};
  const istiods = (await istiodPods(cluster, istioNamespace, signal).catch(unlessUnreadable)) ?? [];
  const revision = await findRevision(source, pod, istiods, signal);
  const container = proxyContainerOf(pod);
  const [mesh, own] = await Promise.all([
    readMeshFacts(cluster, { istioNamespace, revision }, istiods, signal),
    container === undefined ? undefined : readEnv(cluster, namespace, pod, container, signal),
  ]);
  const text = own === undefined ? annotations["proxy.istio.io/config"] : own.env.values.get("PROXY_CONFIG");
  const proxyConfig = await parseYaml(text ?? "");
  return { pod, env: own?.env, revision, mesh, proxyConfig, unread: own?.missing ?? mesh.unread };
}

async function readEnv(cluster: Cluster, namespace: string, pod: Pod, container: Container, signal: AbortSignal) {
  const missing: Unread[] = [];
  const found = await Promise.all(
    configMapsOf(container).map(async (name) => {
      const what = { resource: "configmaps", namespace, name };
      const { data = {} } = (await cluster.get(what, signal).catch((error: unknown) => {
        if (!isUnreadable(error)) throw error;
        missing.push(unread(`ConfigMap "${name}" in namespace "${namespace}"`, error));
        return {};
      })) as { readonly data?: Readonly<Record<string, string>> };
      return [name, data] as const;
    }),
  );
  return { env: containerEnv(pod, container, new Map(found)), missing };
}
