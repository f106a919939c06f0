import type { Tree } from "../pod/json.ts";
import { containersOf, findContainer, INIT, PROXY, VALIDATION, withContainers } from "./containers.ts";

const CORE_DUMP = "enable-core-dump";

/**
 * The order in which containers start: the proxy last, or first where applications wait for it; a native sidecar before all
 * init containers but those that prepare the network. Source: istio/istio pkg/kube/inject/webhook.go (reorderPod).
 */
export function reorder(pod: Tree, doApplicationsWait: boolean): Tree {
  const containers = moved(containersOf(pod, "containers"), PROXY, doApplicationsWait ? "first" : "last");
  const inits = containersOf(pod, "initContainers");
  const isNative = findContainer(inits, PROXY) !== undefined;
  const steps = isNative ? NATIVE : WITH_INIT;
  const ordered = steps.reduce((list, [name, place]) => moved(list, name, place), inits);
  return withContainers(withContainers(pod, "containers", containers), "initContainers", ordered);
}

type Place = "first" | "last";
type Step = readonly [name: string, place: Place];

const NATIVE: readonly Step[] = [
  [CORE_DUMP, "first"],
  [PROXY, "first"],
  [VALIDATION, "first"],
  [INIT, "first"],
];
/** Redirection begins last, so that other init containers still reach the network. */
const WITH_INIT: readonly Step[] = [
  [VALIDATION, "first"],
  [INIT, "last"],
  [CORE_DUMP, "last"],
];

function moved(containers: readonly Tree[], name: string, place: Place): readonly Tree[] {
  const found = containers.findLast((container) => container.name === name);
  const others = containers.filter((container) => container.name !== name);
  if (found === undefined) return others;
  return place === "first" ? [found, ...others] : [...others, found];
}
