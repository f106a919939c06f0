import { AgentError } from "../../base/index.ts";
import type { Cluster } from "../../kubernetes/index.ts";
import { isReady, type Pod, podOf, stateOf } from "./pod.ts";

/** A pod, by its name or by what runs it. */
export interface WorkloadName {
  readonly kind: "pod" | "deployment" | "service";
  readonly name: string;
}

const KINDS: Readonly<Record<string, WorkloadName["kind"]>> = {
  ...{ po: "pod", pod: "pod", pods: "pod" },
  ...{ deploy: "deployment", deployment: "deployment", deployments: "deployment", "deployment.apps": "deployment" },
  ...{ svc: "service", service: "service", services: "service" },
};

/** `web`, `pod/web`, `deploy/web`, `svc/web`. Undefined for anything else. */
export function parseWorkloadName(word: string): WorkloadName | undefined {
  const [, kind = "pod", name = ""] = /^(?:([a-z.]+)\/)?([a-z\d](?:[-a-z\d.]*[a-z\d])?)$/.exec(word) ?? [];
  const known = KINDS[kind];
  return known === undefined || name === "" ? undefined : { kind: known, name };
}

/**
 * The pod itself, or of a deployment or service the first one by name that is ready. Rejects with KUBE_NOT_FOUND when none
 * is, which says what is there instead, or with what the cluster rejects with.
 */
export async function findPod(
  cluster: Cluster,
  namespace: string,
  { kind, name }: WorkloadName,
  signal: AbortSignal,
): Promise<Pod> {
  if (kind === "pod") return podOf(await cluster.get({ resource: "pods", namespace, name }, signal));
  const what =
    kind === "service"
      ? { resource: "services", namespace, name }
      : { apiVersion: "apps/v1", resource: "deployments", namespace, name };
  const { spec } = await cluster.get(what, signal);
  const labelSelector = kind === "service" ? selectorOfService(spec) : selectorOfDeployment(spec);
  if (labelSelector === "") {
    const text = `Cannot find a pod of ${kind} "${name}" in namespace "${namespace}": it selects none`;
    throw new AgentError("KUBE_NOT_FOUND", text, { hint: "Name a pod" });
  }
  const found = await cluster.list({ resource: "pods", namespace }, { labelSelector }, signal);
  const pods = found.map(podOf).sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  const ready = pods.find(isReady);
  if (ready !== undefined) return ready;
  const states = pods.map((pod) => `"${nameOf(pod)}" ${stateOf(pod)}`).join(", ");
  const text = `Cannot find a ready pod of ${kind} "${name}" in namespace "${namespace}": ${states || "it has none"}`;
  const hint = pods[0] === undefined ? "Scale it up" : `Name one to take it as it is: pod/${nameOf(pods[0])}`;
  throw new AgentError("KUBE_NOT_FOUND", text, { hint });
}

function nameOf({ metadata }: Pod): string {
  return metadata?.name ?? "";
}

interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: string;
    readonly values?: readonly string[];
  }[];
}

function selectorOfService(spec: unknown): string {
  const { selector = {} } = (spec ?? {}) as { readonly selector?: Readonly<Record<string, string>> };
  return equalities(selector).join(",");
}

/** Source: Kubernetes API, meta/v1 LabelSelector, and the selectors of its list requests. */
function selectorOfDeployment(spec: unknown): string {
  const { selector = {} } = (spec ?? {}) as { readonly selector?: LabelSelector };
  const expressions = (selector.matchExpressions ?? []).map(({ key, operator, values = [] }) => {
    if (operator === "Exists") return key;
    if (operator === "DoesNotExist") return `!${key}`;
    return `${key} ${operator.toLowerCase()} (${values.join(",")})`;
  });
  return [...equalities(selector.matchLabels ?? {}), ...expressions].join(",");
}

function equalities(labels: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(labels).map(([key, value]) => `${key}=${value}`);
}
