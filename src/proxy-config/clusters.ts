import { type Dump, type Message, messagesIn, partOf, refuseNone, type Shown, textOf } from "./dump.ts";
import { compareClusterNames, isIstioName, managedBy, parseClusterName } from "./names.ts";

/** Parts of a cluster's name; what is empty or 0 is not asked. */
export interface ClusterFilter {
  readonly fqdn: string;
  readonly port: number;
  readonly subset: string;
  readonly direction: string;
}

const HEAD = ["SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE"];

/** Clusters, active and static. Throws CONFIG_INVALID when the dump has none. Source: istioctl's configdump/cluster.go. */
export function showClusters(dump: Dump, filter: ClusterFilter): Shown {
  const part = partOf(dump, "ClustersConfigDump");
  const all = [
    ...messagesIn(part.dynamic_active_clusters, "cluster"),
    ...messagesIn(part.static_clusters, "cluster"),
  ].sort((a, b) => compareClusterNames(textOf(a.name), textOf(b.name)));
  refuseNone(all, "clusters");
  const clusters = all.filter(({ name }) => passes(textOf(name), filter));
  return { table: { head: HEAD, rows: clusters.map(rowOf), gap: 5 }, messages: clusters };
}

function passes(name: string, { fqdn, port, subset, direction }: ClusterFilter): boolean {
  return [fqdn, subset, direction, port === 0 ? "" : `|${port}|`].every((wanted) => name.includes(wanted));
}

function rowOf(cluster: Message): string[] {
  const name = textOf(cluster.name);
  const rest = [textOf(cluster.type) || "STATIC", managedBy(cluster)];
  if (!isIstioName(name)) return [name, "-", "-", "-", ...rest];
  const { direction, port, subset, host } = parseClusterName(name);
  return [host, String(port), subset || "-", direction, ...rest];
}
