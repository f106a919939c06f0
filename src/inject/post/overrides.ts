import { escapeGoJson } from "../../base/index.ts";
import type { ProxyConfig } from "../../istio/mesh/index.ts";
import { strategicMerge } from "../merge/strategic-merge.ts";
import { canonical, canonicalPod } from "../pod/canonical.ts";
import { type Tree, textsOf, treeOf, treesOf } from "../pod/json.ts";
import {
  type ContainerList,
  containerOf,
  containersOf,
  findContainer,
  INIT,
  mapContainers,
  PROXY,
  VALIDATION,
  withContainers,
} from "./containers.ts";
import { withoutOwnPrometheus } from "./prometheus.ts";

const OVERRIDES = "proxy.istio.io/overrides";
const STATUS = "sidecar.istio.io/status";
/** The image of a container that only changes what the template says of it. */
const AUTO = "auto";

/**
 * The pod as the user wrote it: without what an earlier injection added, with the containers that it kept in an annotation.
 * Source: istio/istio pkg/kube/inject (stripPod, reinsertOverrides).
 */
export function asWritten(pod: Tree, statusPort: number): Tree {
  const kept = keptOverrides(pod);
  const stripped = withoutEarlier(pod, statusPort);
  return LISTS.reduce((result, list) => {
    const containers = containersOf(result, list);
    const missing = kept[list].filter(({ name }) => findContainer(containers, String(name)) === undefined);
    return missing.length === 0 ? result : withContainers(result, list, [...containers, ...missing]);
  }, stripped);
}

const LISTS: readonly ContainerList[] = ["containers", "initContainers"];

function withoutEarlier(pod: Tree, statusPort: number): Tree {
  const status = statusOf(pod);
  if (status === undefined) return pod;
  const metadata = treeOf(pod.metadata);
  const { [STATUS]: _, ...annotations } = withoutOwnPrometheus(textsOf(metadata.annotations), statusPort);
  let result: Tree = { ...pod, metadata: { ...metadata, annotations } };
  for (const list of LISTS) {
    const names = namesOf(status, list);
    const own = containersOf(result, list).filter(({ name }) => !names.includes(String(name)));
    result = withContainers(result, list, own);
  }
  return result;
}

/** What an earlier injection told of itself; undefined where there was none. */
function statusOf(pod: Tree): Tree | undefined {
  const text = textsOf(treeOf(pod.metadata).annotations)[STATUS];
  if (text === undefined) return undefined;
  try {
    return treeOf(JSON.parse(text));
  } catch {
    return undefined; // the injector takes it for none
  }
}

function namesOf(status: Tree | undefined, list: ContainerList): readonly string[] {
  const names = status?.[list];
  return Array.isArray(names) ? names.map(String) : [];
}

type Overrides = Readonly<Record<ContainerList, readonly Tree[]>>;

function keptOverrides(pod: Tree): Overrides {
  const text = textsOf(treeOf(pod.metadata).annotations)[OVERRIDES];
  if (text === undefined) return { containers: [], initContainers: [] };
  try {
    const kept = treeOf(JSON.parse(text));
    return { containers: treesOf(kept.containers), initContainers: treesOf(kept.initContainers) };
  } catch (error) {
    throw new Error(`annotation ${OVERRIDES} cannot be read`, { cause: error });
  }
}

/** The pods between which overrides are decided: as it came, what the templates add, and both together. */
export interface MergedPods {
  readonly original: Tree;
  readonly template: Tree;
  readonly merged: Tree;
}

/**
 * Lays what the user wrote into a container of the injector over what the template says of it. Source: istio/istio
 * pkg/kube/inject/webhook.go (reapplyOverwrittenContainers).
 */
export function reapplyOverrides({ original, template, merged }: MergedPods, proxy: ProxyConfig): Tree {
  const status = statusOf(original);
  const kept = keptOverrides(original);
  const used: Record<ContainerList, Tree[]> = { containers: [], initContainers: [] };
  let pod = merged;
  for (const list of LISTS) {
    for (const { name } of containersOf(template, list)) {
      const written = namesOf(status, list).includes(String(name))
        ? undefined
        : writtenContainer(original, kept, list, String(name));
      if (written === undefined) continue;
      const { image, ...rest } = written;
      const overlay = canonical("Container", image === AUTO ? rest : written);
      used[list].push(overlay);
      pod = canonicalPod(strategicMerge("Pod", pod, { spec: { [list]: [overlay] } }));
    }
  }
  const annotations = textsOf(treeOf(original.metadata).annotations);
  if (annotations[STATUS] === undefined && used.containers.length + used.initContainers.length > 0) {
    pod = withAnnotation(pod, OVERRIDES, textOf(used));
  }
  return adjustInitUser(pod, original, proxy);
}

function writtenContainer(original: Tree, kept: Overrides, list: ContainerList, name: string): Tree | undefined {
  const inPod = list === "containers" ? findContainer(containersOf(original, list), name) : containerOf(original, name);
  return findContainer(kept[list], name) ?? inPod;
}

function textOf(used: Overrides): string {
  const members = LISTS.filter((list) => used[list].length > 0).map((list) => [list, used[list]] as const);
  return escapeGoJson(JSON.stringify(Object.fromEntries(members)));
}

export function withAnnotation(pod: Tree, name: string, value: string): Tree {
  const metadata = treeOf(pod.metadata);
  return { ...pod, metadata: { ...metadata, annotations: { ...textsOf(metadata.annotations), [name]: value } } };
}

/**
 * A user of its own for the proxy is the one whose traffic passes; with TPROXY it is root whatever was written. Source: the
 * same file (adjustInitContainerUser).
 */
function adjustInitUser(pod: Tree, original: Tree, proxy: ProxyConfig): Tree {
  const { runAsUser, runAsGroup } = treeOf(containerOf(original, PROXY)?.securityContext);
  const init = [INIT, VALIDATION].find(
    (name) => findContainer(containersOf(pod, "initContainers"), name) !== undefined,
  );
  if ((runAsUser === undefined && runAsGroup === undefined) || init === undefined) return pod;
  const annotated = textsOf(treeOf(pod.metadata).annotations)["sidecar.istio.io/interceptionMode"];
  const isTproxy = proxy.interceptionMode === "TPROXY" || annotated === "TPROXY";
  return mapContainers(pod, (container) => {
    if (container.name === PROXY && isTproxy && runAsUser !== undefined)
      return withSecurity(container, { runAsUser: 0 });
    if (container.name !== init) return container;
    const isSame = !isTproxy && init === VALIDATION;
    const user = isSame
      ? { ...(runAsUser !== undefined && { runAsUser }), ...(runAsGroup !== undefined && { runAsGroup }) }
      : {};
    return withUserArgument(isSame ? withSecurity(container, user) : container, runAsUser);
  });
}

function withSecurity(container: Tree, change: Tree): Tree {
  return { ...container, securityContext: { ...treeOf(container.securityContext), ...change } };
}

/** iptables would not take 0. */
function withUserArgument(container: Tree, user: unknown): Tree {
  const args = Array.isArray(container.args) ? container.args : [];
  const at = args.indexOf("-u");
  return user === undefined || user === 0 || at < 0
    ? container
    : { ...container, args: args.with(at + 1, String(user)) };
}
