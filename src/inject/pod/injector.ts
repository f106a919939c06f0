import type { MeshConfig, ProxyConfig } from "../../istio/mesh/index.ts";
import type { Tree } from "./json.ts";

/** What a template is rendered with. Source: istio/istio pkg/kube/inject/inject.go (SidecarTemplateData). */
export interface TemplateData {
  /** The pod, without what an earlier injection added. */
  readonly pod: Tree;
  readonly workload: Workload;
  readonly proxy: ProxyConfig;
  readonly mesh: MeshConfig;
  readonly values: Tree;
  readonly revision: string;
  readonly isNativeSidecar: boolean;
  readonly proxyImage: string;
  readonly proxyInitImage: string;
}

/** Renders what is laid over the pod by strategic merge. Rejects where the template fails. */
export type PodTemplate = (data: TemplateData) => Promise<Tree>;

/** Who owns the pod, as Istio's telemetry names it: `apps/v1`, `Deployment`, `cart`, `shop`. */
export interface Workload {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace: string;
}

/** The key `config` of the injector's ConfigMap. Source: istio/istio pkg/kube/inject/inject.go (Config). */
export interface InjectionConfig {
  /** `enabled` or `disabled`; anything else disables. */
  readonly policy: string;
  readonly defaultTemplates: readonly string[];
  readonly aliases: ReadonlyMap<string, readonly string[]>;
  readonly neverInject: readonly Tree[];
  readonly alwaysInject: readonly Tree[];
  readonly injectedAnnotations: Readonly<Record<string, string>>;
  readonly templates: ReadonlyMap<string, PodTemplate>;
}

/** What decides about the ProxyConfig of a pod. */
export interface PodPlace {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** The mesh for which pods are injected. */
export interface Injector {
  readonly config: InjectionConfig;
  /** The key `values` of the injector's ConfigMap. */
  readonly values: Tree;
  readonly mesh: MeshConfig;
  /** ProxyConfig of the mesh. */
  meshProxyConfig(): Promise<ProxyConfig>;
  /** The same for a pod: its annotation, and what else selects it, lie over it. Rejects for an annotation that cannot be read. */
  proxyConfigOf(pod: PodPlace): Promise<ProxyConfig>;
  /** Of istiod; empty is the default one. */
  readonly revision: string;
  readonly isNativeSidecar: boolean;
  /** Of proxy and init container, in place of Istio's; undefined for that of the values. */
  readonly image: string | undefined;
}
