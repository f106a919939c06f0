import { AgentError } from "../../base/index.ts";
import type { Cluster } from "../../kubernetes/index.ts";
import type { CloneFacts } from "./clone-plan.ts";
import { configMapsOf, containerEnv } from "./container-env.ts";
import { findPod, type WorkloadName } from "./find-workload.ts";
import { parseYaml, readMeshFacts } from "./mesh-facts.ts";
import { type Container, type Pod, proxyContainerOf } from "./pod.ts";

export interface CloneSource {
  readonly cluster: Cluster;
  readonly namespace: string;
  readonly workload: WorkloadName;
  readonly istioNamespace: string;
  /** Default: that of the pod. */
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
  const { annotations = {}, labels = {}, namespace = "default" } = pod.metadata ?? {};
  const revision = source.revision ?? annotations["istio.io/rev"] ?? labels["istio.io/rev"];
  const container = proxyContainerOf(pod);
  const [mesh, env] = await Promise.all([
    readMeshFacts(cluster, { istioNamespace, revision }, signal),
    container === undefined ? undefined : readEnv(cluster, namespace, pod, container, signal),
  ]);
  const text = env === undefined ? annotations["proxy.istio.io/config"] : env.values.get("PROXY_CONFIG");
  return { pod, env, mesh, proxyConfig: await parseYaml(text ?? "") };
}

async function readEnv(cluster: Cluster, namespace: string, pod: Pod, container: Container, signal: AbortSignal) {
  const found = await Promise.all(
    configMapsOf(container).map(async (name) => {
      const what = { resource: "configmaps", namespace, name };
      const { data = {} } = (await cluster.get(what, signal).catch((error: unknown) => {
        if (error instanceof AgentError && ["KUBE_NOT_FOUND", "KUBE_FORBIDDEN"].includes(error.code)) return {};
        throw error;
      })) as { readonly data?: Readonly<Record<string, string>> };
      return [name, data] as const;
    }),
  );
  return containerEnv(pod, container, new Map(found));
}
