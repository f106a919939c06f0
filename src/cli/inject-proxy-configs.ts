import { AgentError } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import type { PodPlace } from "../inject/index.ts";
import type { Cluster, KubeObject } from "../kubernetes/index.ts";
import { printWarnings } from "./print-error.ts";

/** A text of ProxyConfig, and where it comes from. */
interface ProxyConfigText {
  readonly text: string;
  readonly source: string;
  readonly isPositioned?: boolean;
}

/**
 * The resources of ProxyConfig in a cluster. Those of the mesh and of a namespace lie below the pod's annotation, the one
 * that selects the pod above it. Source: istio/istio pilot/pkg/model/proxy_config.go.
 */
class ProxyConfigResources {
  readonly #resources: readonly KubeObject[];
  readonly #rootNamespace: string;

  constructor(resources: readonly KubeObject[], rootNamespace: string) {
    this.#resources = resources.toSorted((a, b) => (ageOf(a) < ageOf(b) ? -1 : 1));
    this.#rootNamespace = rootNamespace;
  }

  /** What lies over the ProxyConfig of the mesh, the last above all. */
  overlaysOf(pod: PodPlace): readonly ProxyConfigText[] {
    const text = pod.annotations["proxy.istio.io/config"];
    const annotation = { text: text ?? "", source: "annotation proxy.istio.io/config", isPositioned: true };
    return [...this.#below(pod), ...(text === undefined ? [] : [annotation]), ...this.#above(pod)];
  }

  #below({ namespace }: PodPlace): readonly ProxyConfigText[] {
    const places = new Set([this.#rootNamespace, namespace]);
    return [...places].flatMap((place) => this.#first(place, (spec) => spec.selector === undefined));
  }

  #above({ namespace, labels }: PodPlace): readonly ProxyConfigText[] {
    return this.#first(namespace, ({ selector }) => {
      const wanted = Object.entries(treeOf(treeOf(selector).matchLabels));
      return wanted.length > 0 && wanted.every(([key, value]) => labels[key] === value);
    });
  }

  /** The oldest that fits, alone. */
  #first(namespace: string, fits: (spec: Tree) => boolean): readonly ProxyConfigText[] {
    const inPlace = this.#resources.filter(({ metadata }) => metadata?.namespace === namespace);
    const found = inPlace.find(({ spec }) => fits(treeOf(spec)));
    if (found === undefined) return [];
    const { concurrency, environmentVariables: proxyMetadata, image } = treeOf(found.spec);
    const text = JSON.stringify({ concurrency, proxyMetadata, image }); // what is not there is left out
    return [{ text, source: `ProxyConfig "${found.metadata?.name}" in namespace "${namespace}"` }];
  }
}

/** Rejects with what the cluster rejects with. One that may not be asked, or has no such resources, is a mesh without any. */
export async function readProxyConfigResources(
  cluster: Cluster | undefined,
  rootNamespace: string,
  host: Host,
): Promise<ProxyConfigResources> {
  if (cluster === undefined) return new ProxyConfigResources([], rootNamespace);
  const what = { resource: "proxyconfigs", apiVersion: "networking.istio.io/v1beta1" };
  const found = await cluster.list(what, {}, host.signals.stop).catch((error: unknown) => {
    if (!(error instanceof AgentError) || !/^KUBE_(NOT_FOUND|FORBIDDEN)$/.test(error.code)) throw error;
    if (error.code === "KUBE_FORBIDDEN")
      printWarnings(host, [`resources of ProxyConfig are passed over: ${error.message}`]);
    return [];
  });
  return new ProxyConfigResources(found, rootNamespace);
}

/** Then by name, as istiod has it. */
function ageOf({ metadata }: KubeObject): string {
  const { creationTimestamp = "", name = "", namespace = "" } = (metadata ?? {}) as Readonly<Record<string, string>>;
  return `${creationTimestamp} ${name}.${namespace}`;
}

type Tree = Readonly<Record<string, unknown>>;

function treeOf(value: unknown): Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Tree) : {};
}
