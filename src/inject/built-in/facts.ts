import type { TemplateData } from "../pod/injector.ts";
import { type Tree, textsOf, treeOf, treesOf } from "../pod/json.ts";

/** What the built-in templates ask of a pod and its mesh. */
export interface Facts {
  readonly data: TemplateData;
  readonly annotations: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly global: Tree;
  /** `global.proxy` of the values. */
  readonly proxy: Tree;
  /** Names of the application's containers. */
  readonly names: readonly string[];
  readonly hasCni: boolean;
  readonly isNative: boolean;
  /** `REDIRECT`, `TPROXY` or `NONE`. */
  readonly mode: string;
  /** Of the agent, as text; `0` where it has none. */
  readonly statusPort: string;
  /** The annotation, or else the value. */
  annotation(name: string, usual: unknown): string;
}

export function factsOf(data: TemplateData): Facts {
  const metadata = treeOf(data.pod.metadata);
  const annotations = textsOf(metadata.annotations);
  const global = treeOf(data.values.global);
  const proxy = treeOf(global.proxy);
  const annotation = (name: string, usual: unknown): string => annotations[name] ?? String(usual ?? "");
  const native = annotations["sidecar.istio.io/nativeSidecar"];
  return {
    ...{ data, annotations, annotation, global, proxy },
    labels: textsOf(metadata.labels),
    names: treesOf(treeOf(data.pod.spec).containers)
      .map(({ name }) => String(name))
      .filter((name) => name !== "istio-proxy"),
    hasCni: treeOf(treeOf(data.values.pilot).cni).enabled === true,
    isNative: native === undefined || native === "" ? data.isNativeSidecar : native !== "false",
    mode: annotation("sidecar.istio.io/interceptionMode", data.proxy.interceptionMode),
    statusPort: annotation("status.sidecar.istio.io/port", proxy.statusPort),
  };
}

/** Labels and annotations that both templates set. `nameLimit` cuts the canonical name. */
export function commonMetadata({ data, annotations, labels, names }: Facts, nameLimit = Number.POSITIVE_INFINITY) {
  const name =
    labels["service.istio.io/canonical-name"] || labels["app.kubernetes.io/name"] || labels.app || data.workload.name;
  const revision =
    labels["service.istio.io/canonical-revision"] || labels["app.kubernetes.io/version"] || labels.version || "latest";
  const [first] = names;
  const shown = ["kubectl.kubernetes.io/default-logs-container", "kubectl.kubernetes.io/default-container"];
  const chosen = shown.filter((key) => first !== undefined && annotations[key] === undefined);
  const isCut = Number.isFinite(nameLimit);
  return {
    labels: {
      "service.istio.io/canonical-name": isCut ? name.slice(0, nameLimit).replace(/^[-_.]+|[-_.]+$/g, "") : name,
      "service.istio.io/canonical-revision": revision,
    },
    annotations: {
      "istio.io/rev": data.revision || "default",
      ...Object.fromEntries(chosen.map((key) => [key, first])),
    },
  };
}

/** By annotation where there is one for any of them; then values count no more. */
export function resourcesOf({ annotations, proxy }: Facts): Tree {
  const named = (kind: string, cpu: string, memory: string): Tree => {
    const [cpuText, memoryText] = [annotations[cpu], annotations[memory]];
    const list = {
      ...(cpuText !== undefined && { cpu: cpuText }),
      ...(memoryText !== undefined && { memory: memoryText }),
    };
    return Object.keys(list).length === 0 ? {} : { [kind]: list };
  };
  const stated = {
    ...named("requests", "sidecar.istio.io/proxyCPU", "sidecar.istio.io/proxyMemory"),
    ...named("limits", "sidecar.istio.io/proxyCPULimit", "sidecar.istio.io/proxyMemoryLimit"),
  };
  return Object.keys(stated).length > 0 ? stated : treeOf(proxy.resources);
}

/** `imagePullPolicy`, where the mesh has one. */
export function pullPolicyOf({ global }: Facts): Tree {
  return global.imagePullPolicy ? { imagePullPolicy: global.imagePullPolicy } : {};
}

/** The image that the annotation names, or else the one of the mesh. */
export function imageFor({ annotations }: Facts, usual: string): string {
  const stated = annotations["sidecar.istio.io/proxyImage"] ?? "";
  return stated.includes("/") ? stated : usual;
}
