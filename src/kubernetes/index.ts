export { type Cluster, type ClusterOptions, type KubeObject, type ListOptions, openCluster } from "./cluster.ts";
export { nearNames } from "./near-names.ts";
export type { KubeResource } from "./resource.ts";
