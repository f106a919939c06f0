import { type Dump, listOf, type Message, messageOf, numberOf, partOf, type Shown, textOf } from "./dump.ts";
import { compareClusterNames, compareTexts, endpointAddress } from "./names.ts";

/** What is empty or 0 is not asked. All texts count in any case, and as a whole. */
export interface EndpointFilter {
  readonly address: string;
  readonly port: number;
  readonly cluster: string;
  /** `HEALTHY`, `UNHEALTHY`, `DRAINING`, `TIMEOUT`, `DEGRADED` or `UNKNOWN`. */
  readonly status: string;
}

/**
 * Endpoints: of `/clusters?format=json` what Envoy knows of each, of a configuration dump with `include_eds` what it was
 * told. Source: istioctl's clusters.go and configdump/endpoint.go.
 */
export function showEndpoints(dump: Dump, filter: EndpointFilter): Shown {
  return dump.cluster_statuses === undefined ? configuredEndpoints(dump, filter) : knownEndpoints(dump, filter);
}

const isSame = (one: string, wanted: string): boolean => wanted === "" || one.toLowerCase() === wanted.toLowerCase();

function knownEndpoints({ cluster_statuses: statuses = [] }: Dump, filter: EndpointFilter): Shown {
  const clusters = statuses
    .map(messageOf)
    .map((cluster) => ({ cluster, hosts: hostsOf(cluster).filter((host) => hostPasses(host, cluster, filter)) }))
    .filter(({ hosts }) => hosts.length > 0);
  const all = clusters.flatMap(({ cluster, hosts }) => hosts.map((host) => ({ host, cluster: textOf(cluster.name) })));
  all.sort(
    (a, b) =>
      compareTexts(hostName(a.host), hostName(b.host)) ||
      portOf(a.host.address) - portOf(b.host.address) ||
      compareTexts(a.cluster, b.cluster),
  );
  const rows = all.map(({ host, cluster }) => {
    const { eds_health_status: health, failed_outlier_check: isOut } = messageOf(host.health_status);
    const address = portOf(host.address) === 0 ? hostName(host) : endpointAddress(host.address);
    return [address, textOf(health) || "UNKNOWN", isOut === true ? "FAILED" : "OK", cluster];
  });
  const head = ["ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER"];
  return { table: { head, rows, gap: 5 }, messages: clusters.map(({ cluster }) => cluster) };
}

const hostsOf = (cluster: Message): Message[] => listOf(cluster.host_statuses).map(messageOf);

function hostPasses(host: Message, cluster: Message, filter: EndpointFilter): boolean {
  const { eds_health_status: health } = messageOf(host.health_status);
  return (
    isSame(hostName(host), filter.address) &&
    (filter.port === 0 || portOf(host.address) === filter.port) &&
    isSame(textOf(cluster.name), filter.cluster) &&
    isSame(textOf(health) || "UNKNOWN", filter.status)
  );
}

/** Without the port. */
function hostName({ address }: Message): string {
  const { socket_address: socket } = messageOf(address);
  return socket === undefined ? endpointAddress(address, "unix://") : textOf(messageOf(socket).address);
}

function portOf(address: unknown): number {
  return numberOf(messageOf(messageOf(address).socket_address).port_value);
}

function configuredEndpoints(dump: Dump, filter: EndpointFilter): Shown {
  const part = partOf(dump, "EndpointsConfigDump");
  const all = [...listOf(part.dynamic_endpoint_configs), ...listOf(part.static_endpoint_configs)]
    .map((item) => assignmentOf(messageOf(messageOf(item).endpoint_config), filter))
    .filter(({ endpoints }) => endpoints.some((group) => listOf(group.lb_endpoints).length > 0))
    .sort((a, b) => compareClusterNames(textOf(a.cluster_name), textOf(b.cluster_name)));
  const rows = all.flatMap(({ endpoints, cluster_name: cluster }) =>
    endpoints.flatMap(({ lb_endpoints: list, locality }) =>
      listOf(list).map((one) => {
        const address = addressesOf(messageOf(one)).join(",");
        const health = textOf(messageOf(one).health_status) || "UNKNOWN";
        return [address, health, localityText(messageOf(locality)), textOf(cluster)];
      }),
    ),
  );
  return { table: { head: ["NAME", "STATUS", "LOCALITY", "CLUSTER"], rows, gap: 5 }, messages: all };
}

/** The assignment with only those endpoints that pass. */
function assignmentOf(
  { "@type": _, ...assignment }: Message,
  filter: EndpointFilter,
): Message & { readonly endpoints: readonly Message[] } {
  const endpoints = listOf(assignment.endpoints).map((group) => ({
    ...messageOf(group),
    lb_endpoints: listOf(messageOf(group).lb_endpoints).filter((one) => {
      const found = messageOf(one);
      return (
        (filter.address === "" || addressesOf(found).some((address) => isSame(address, filter.address))) &&
        (filter.port === 0 || portOf(messageOf(found.endpoint).address) === filter.port) &&
        isSame(textOf(assignment.cluster_name), filter.cluster) &&
        isSame(textOf(found.health_status) || "UNKNOWN", filter.status)
      );
    }),
  }));
  return { ...assignment, endpoints };
}

function addressesOf({ endpoint }: Message): string[] {
  const { address, additional_addresses: more } = messageOf(endpoint);
  const all = [address, ...listOf(more).map((one) => messageOf(one).address)];
  return all.map((one) => endpointAddress(one));
}

function localityText({ region, zone, sub_zone: subZone }: Message): string {
  const parts = [textOf(region), textOf(zone), textOf(subZone)];
  const end = parts.indexOf("", 1); // a part counts only below all of those above it
  return parts.slice(0, end < 0 ? parts.length : end).join("/");
}
