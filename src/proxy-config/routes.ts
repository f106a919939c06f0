import {
  type Dump,
  listOf,
  type Message,
  messageOf,
  messagesIn,
  partOf,
  refuseNone,
  type Shown,
  textOf,
} from "./dump.ts";
import { insertionSort } from "./insertion-sort.ts";
import { describeMatch } from "./matches.ts";
import { managedBy } from "./names.ts";

export interface RouteFilter {
  /** The whole name; empty is not asked. */
  readonly name: string;
  /** A line for each route, instead of one for each configuration. */
  readonly isVerbose: boolean;
}

const PASSTHROUGH = "PassthroughCluster";
const MOST_DOMAINS = 2;

/** Routes, dynamic and static. Throws CONFIG_INVALID when the dump has none. Source: istioctl's configdump/route.go. */
export function showRoutes(dump: Dump, filter: RouteFilter): Shown {
  const part = partOf(dump, "RoutesConfigDump");
  const all = [
    ...messagesIn(part.dynamic_route_configs, "route_config"),
    ...messagesIn(part.static_route_configs, "route_config"),
  ];
  refuseNone(all, "routes");
  insertionSort(all, (a, b) => isBefore(textOf(a.name), textOf(b.name)));
  const routes = all.filter(({ name }) => filter.name === "" || textOf(name) === filter.name);
  const table = filter.isVerbose
    ? { head: ["NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE"], rows: routes.flatMap(rowsOf), gap: 5 }
    : { head: ["NAME", "VIRTUAL HOSTS"], rows: routes.map(countOf), gap: 5 };
  return { table, messages: routes };
}

/** Numbers by their size; a name that is none stays where it is. */
function isBefore(a: string, b: string): boolean {
  return [a, b].every((name) => /^[+-]?\d+$/.test(name)) && Number(a) < Number(b);
}

function countOf(route: Message): string[] {
  return [textOf(route.name), String(listOf(route.virtual_hosts).length)];
}

function rowsOf(route: Message): string[][] {
  return listOf(route.virtual_hosts).flatMap((one) => {
    const host = messageOf(one);
    const start = [textOf(route.name), textOf(host.name), describeDomains(listOf(host.domains).map(textOf))];
    const routes = listOf(host.routes).map(messageOf);
    if (routes.length === 0) return [[...start, "/*", "404"]];
    return routes
      .filter((found) => messageOf(found.route).cluster !== PASSTHROUGH)
      .map((found) => [...start, describeMatch(found.match), managedBy(found)]);
  });
}

/** The shortest names of a service, without those that say a port. */
function describeDomains(domains: readonly string[]): string {
  if (domains.length <= 1) return domains[0] ?? "";
  const shown = withoutLonger(domains.filter((one) => !one.includes(":") || isBareIpv6(one)));
  const more = shown.length - MOST_DOMAINS;
  const first = shown.slice(0, MOST_DOMAINS).join(", ");
  return more > 0 ? `${first} + ${more} more...` : first;
}

const isBareIpv6 = (domain: string): boolean => domain.split(":").length > 3 && domain.endsWith("]");

/** Without `a.ns.svc.cluster.local` where there is `a.ns`, and without `a.ns.svc` likewise. */
function withoutLonger(domains: readonly string[]): string[] {
  const all = new Set(domains);
  const isLonger = (domain: string, ending: string): boolean =>
    domain.endsWith(ending) && all.has(domain.slice(0, -ending.length));
  return domains.filter((one) => !isLonger(one, ".svc.cluster.local") && !isLonger(one, ".svc"));
}
