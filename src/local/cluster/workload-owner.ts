import type { Pod } from "./pod.ts";

/** Who a pod belongs to, as Istio's telemetry names it. */
export interface WorkloadOwner {
  readonly name: string;
  /** `kubernetes://apis/apps/v1/namespaces/shop/deployments/cart` */
  readonly reference: string;
}

const JOB_OF_CRON = /^(.+)-\d{8,10}$/;

/** What the injector would conclude. Source: istio/istio pkg/kube/controllers, GetDeployMetaFromPod. */
export function workloadOwnerOf({ metadata = {} }: Pod): WorkloadOwner {
  const { labels = {}, namespace = "default" } = metadata;
  const { apiVersion, kind, name } = typeOf(metadata);
  const workload = labels["service.istio.io/workload-name"] || name;
  return {
    name: workload,
    reference: `kubernetes://apis/${apiVersion}/namespaces/${namespace}/${kind.toLowerCase()}s/${name}`,
  };
}

function typeOf({ name = "", generateName, labels = {}, ownerReferences = [] }: NonNullable<Pod["metadata"]>) {
  const owner = ownerReferences.find(({ controller }) => controller === true);
  if (owner === undefined || !generateName) return { apiVersion: "v1", kind: "Pod", name };
  const without = (hash: string | undefined): string | undefined =>
    hash && owner.name.endsWith(`-${hash}`) ? owner.name.slice(0, -hash.length - 1) : undefined;
  if (owner.kind === "ReplicaSet") {
    const deployment = without(labels["pod-template-hash"]);
    if (deployment !== undefined) return { apiVersion: owner.apiVersion, kind: "Deployment", name: deployment };
    const rollout = without(labels["rollouts-pod-template-hash"]);
    if (rollout !== undefined) return { apiVersion: "v1alpha1", kind: "Rollout", name: rollout };
  }
  const config = labels.deploymentconfig;
  if (owner.kind === "ReplicationController" && config) {
    return { apiVersion: owner.apiVersion, kind: "DeploymentConfig", name: config };
  }
  const cron = owner.kind === "Job" ? JOB_OF_CRON.exec(owner.name)?.[1] : undefined;
  return cron === undefined ? owner : { apiVersion: "batch/v1", kind: "CronJob", name: cron };
}
