import { type Tree, treeOf, treesOf } from "../pod/json.ts";

export const PROXY = "istio-proxy";
export const INIT = "istio-init";
export const VALIDATION = "istio-validation";
export type ContainerList = "containers" | "initContainers";

export function containersOf(pod: Tree, list: ContainerList): readonly Tree[] {
  return treesOf(treeOf(pod.spec)[list]);
}

export function findContainer(containers: readonly Tree[], name: string): Tree | undefined {
  return containers.find((container) => container.name === name);
}

/** The container of that name, whichever list it is in; regular ones come first. */
export function containerOf(pod: Tree, name: string): Tree | undefined {
  return (
    findContainer(containersOf(pod, "containers"), name) ?? findContainer(containersOf(pod, "initContainers"), name)
  );
}

export function withContainers(pod: Tree, list: ContainerList, containers: readonly Tree[]): Tree {
  return { ...pod, spec: { ...treeOf(pod.spec), [list]: containers } };
}

/** The pod with each container of that name changed, in both lists. */
export function mapContainers(pod: Tree, change: (container: Tree) => Tree): Tree {
  const inContainers = withContainers(pod, "containers", containersOf(pod, "containers").map(change));
  return withContainers(inContainers, "initContainers", containersOf(pod, "initContainers").map(change));
}

/** The pod with its sidecar changed; as it was when it has none. */
export function mapSidecar(pod: Tree, change: (sidecar: Tree) => Tree): Tree {
  const sidecar = containerOf(pod, PROXY);
  return sidecar === undefined ? pod : mapContainers(pod, (one) => (one === sidecar ? change(one) : one));
}

export function withEnv(container: Tree, ...variables: readonly Tree[]): Tree {
  return { ...container, env: [...treesOf(container.env), ...variables] };
}
