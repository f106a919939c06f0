import { AgentError, describeError } from "../base/index.ts";
import type { ProxyConfig } from "../istio/mesh/index.ts";
import { checkAnnotations } from "./check-annotations.ts";
import { layChanges } from "./merge/lay-changes.ts";
import { strategicMerge } from "./merge/strategic-merge.ts";
import { canonicalPod } from "./pod/canonical.ts";
import type { Injector, TemplateData, Workload } from "./pod/injector.ts";
import { type Tree, textsOf, treeOf, treesOf } from "./pod/json.ts";
import {
  type ContainerList,
  containersOf,
  findContainer,
  mapSidecar,
  PROXY,
  withContainers,
} from "./post/containers.ts";
import { reorder } from "./post/order.ts";
import { asWritten, reapplyOverrides, withAnnotation } from "./post/overrides.ts";
import { rewriteProbes } from "./post/probes.ts";
import { announceSecurePort, mergePrometheus } from "./post/prometheus.ts";
import { imageOf } from "./proxy-image.ts";

/**
 * What Istio's webhook would make of a pod that it injects. What it does not change stays as it was written. Rejects with
 * INJECTION_FAILED. Source: istio/istio pkg/kube/inject/webhook.go (injectPod).
 */
export async function injectPod(pod: Tree, workload: Workload, injector: Injector): Promise<Tree> {
  try {
    const original = canonicalPod(pod);
    return layChanges(pod, original, await injected(original, workload, injector));
  } catch (error) {
    if (error instanceof AgentError) throw error;
    const message = `Cannot inject ${workload.kind} "${workload.name}": ${describeError(error)}`;
    throw new AgentError("INJECTION_FAILED", message, { cause: error });
  }
}

async function injected(original: Tree, workload: Workload, injector: Injector): Promise<Tree> {
  const metadata = treeOf(original.metadata);
  const annotations = textsOf(metadata.annotations);
  checkAnnotations(annotations);
  const { namespace } = workload;
  const proxy = await injector.proxyConfigOf({ namespace, annotations, labels: textsOf(metadata.labels) });
  const { statusPort } = await injector.meshProxyConfig();
  const pod = asWritten(original, statusPort);
  const data = { ...dataOf(pod, proxy, injector), pod, workload, proxy };
  const { merged, template } = await runTemplates(original, data, injector);
  let result = reapplyOverrides({ original, template, merged }, proxy);
  result = withPlace(result, placeOf(original, injector.values));
  result = announceSecurePort(mergePrometheus(result, injector.mesh, statusPort));
  const isWanted = treeOf(injector.values.sidecarInjectorWebhook).rewriteAppHTTPProbe === true;
  result = rewriteProbes(result, { isWanted, statusPort });
  result = withAnnotation(result, "sidecar.istio.io/status", statusText(template, injector.revision));
  for (const [name, value] of Object.entries(injector.config.injectedAnnotations))
    result = withAnnotation(result, name, value);
  const doWait = proxy.holdApplicationUntilProxyStarts ?? false;
  const doAllWait = treeOf(treeOf(injector.values.global).proxy).holdApplicationUntilProxyStarts === true;
  return canonicalPod(reorder(result, doWait || doAllWait));
}

function dataOf(pod: Tree, proxy: ProxyConfig, injector: Injector) {
  const annotations = textsOf(treeOf(pod.metadata).annotations);
  const { mesh, values, revision, isNativeSidecar, image } = injector;
  const annotated = annotations["sidecar.istio.io/proxyImageType"];
  const imageType = annotated ?? proxy.image?.imageType;
  return {
    ...{ mesh, revision, isNativeSidecar },
    values: image === undefined ? values : withImage(values, image),
    proxyImage: image ?? imageOf("proxy", { values, imageType }),
    proxyInitImage: image ?? imageOf("proxy_init", { values, imageType: annotated }),
  };
}

/** A name with a slash in the values is an image that the templates take as it is: ours goes in its place. */
function withImage(values: Tree, image: string): Tree {
  const global = treeOf(values.global);
  const named = (["proxy", "proxy_init"] as const).flatMap((name) => {
    const part = treeOf(global[name]);
    return String(part.image).includes("/") ? [[name, { ...part, image }]] : [];
  });
  return { ...values, global: { ...global, ...Object.fromEntries(named) } };
}

async function runTemplates(original: Tree, data: TemplateData, injector: Injector) {
  let merged = original;
  let template = canonicalPod({});
  for (const name of templateNames(original, injector)) {
    const render = injector.config.templates.get(name);
    if (render === undefined) {
      const known = [...injector.config.templates.keys()].join(", ");
      throw new Error(`there is no template "${name}", wanted one of: ${known || "(none)"}`);
    }
    const overlay = await render(data);
    template = canonicalPod(strategicMerge("Pod", template, overlay));
    if (isNative(merged, data.isNativeSidecar)) merged = withNativeOverride(merged, template);
    merged = canonicalPod(strategicMerge("Pod", merged, overlay));
  }
  return { merged, template };
}

function templateNames(pod: Tree, { config }: Injector): readonly string[] {
  const asked = textsOf(treeOf(pod.metadata).annotations)["inject.istio.io/templates"];
  const names = asked === undefined ? config.defaultTemplates : asked.split(",").map((name) => name.trim());
  return names.flatMap((name) => config.aliases.get(name) ?? [name]);
}

function isNative(pod: Tree, isDefault: boolean): boolean {
  const asked = textsOf(treeOf(pod.metadata).annotations)["sidecar.istio.io/nativeSidecar"];
  return asked === "true" || (asked !== "false" && isDefault);
}

/** What the user wrote of the proxy stands among the containers; a native sidecar is an init container. */
function withNativeOverride(pod: Tree, template: Tree): Tree {
  const written = findContainer(containersOf(pod, "containers"), PROXY);
  if (written === undefined || findContainer(containersOf(template, "initContainers"), PROXY) === undefined) return pod;
  const others = containersOf(pod, "containers").filter((container) => container !== written);
  const inits = [...containersOf(pod, "initContainers"), written];
  return withContainers(withContainers(pod, "containers", others), "initContainers", inits);
}

interface Place {
  readonly cluster: string;
  readonly network: string;
}

function placeOf(pod: Tree, values: Tree): Place {
  const global = treeOf(values.global);
  const network = textsOf(treeOf(pod.metadata).labels)[NETWORK] ?? global.network;
  return { cluster: String(treeOf(global.multiCluster).clusterName ?? ""), network: String(network ?? "") };
}

const NETWORK = "topology.istio.io/network";

/** Cluster and network stand last among the proxy's variables, whatever the template said of them. */
function withPlace(pod: Tree, { cluster, network }: Place): Tree {
  const variables = [
    ...(cluster === "" ? [] : [{ name: "ISTIO_META_CLUSTER_ID", value: cluster }]),
    ...(network === "" ? [] : [{ name: "ISTIO_META_NETWORK", value: network }]),
  ];
  const names = new Set<unknown>(variables.map(({ name }) => name));
  const result = mapSidecar(pod, (sidecar) => ({
    ...sidecar,
    env: [...treesOf(sidecar.env).filter(({ name }) => !names.has(name)), ...variables],
  }));
  if (network === "") return result;
  const metadata = treeOf(result.metadata);
  return { ...result, metadata: { ...metadata, labels: { ...textsOf(metadata.labels), [NETWORK]: network } } };
}

function statusText(template: Tree, revision: string): string {
  const names = (list: ContainerList | "volumes" | "imagePullSecrets") => {
    const items = treesOf(treeOf(template.spec)[list]);
    return items.length === 0 ? null : items.map(({ name }) => name);
  };
  return JSON.stringify({
    initContainers: names("initContainers"),
    containers: names("containers"),
    volumes: names("volumes"),
    imagePullSecrets: names("imagePullSecrets"),
    revision: revision || "default",
  });
}
