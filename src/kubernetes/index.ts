export { type Cluster, type KubeObject, openCluster } from "./cluster.ts";
export { nearNames } from "./near-names.ts";
export type { KubeResource } from "./resource.ts";
