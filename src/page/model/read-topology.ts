import { hideSecretsInText } from "../../istio/index.ts";
import { addressOf, listOf, memberOf, textOf } from "./json.ts";

/** Where connections enter. */
export interface Listener {
  readonly name: string;
  readonly address: string;
  /** From the bootstrap, not from the control plane. */
  readonly isStatic: boolean;
  readonly state: "active" | "warming" | "draining";
  /** Why Envoy refuses the latest of it; it may serve an earlier one. */
  readonly refusal: string | undefined;
  /** Names of route tables. */
  readonly routes: readonly string[];
  /** Names of clusters to which it leads without a route table. */
  readonly clusters: readonly string[];
}

/** A route configuration. */
export interface RouteTable {
  readonly name: string;
  readonly virtualHosts: number;
  /** Of its virtual hosts, the first of each. */
  readonly domains: readonly string[];
  readonly clusters: readonly string[];
}

export interface Cluster {
  readonly name: string;
  /** `EDS`, `STRICT_DNS`, `ORIGINAL_DST`, ...; empty when not known. */
  readonly discovery: string;
  readonly isStatic: boolean;
  readonly state: "active" | "warming";
  readonly refusal: string | undefined;
}

/** What leads where in one Envoy. */
export interface Topology {
  readonly listeners: readonly Listener[];
  readonly routes: ReadonlyMap<string, RouteTable>;
  readonly clusters: ReadonlyMap<string, Cluster>;
  /** Listeners and routes are missing, because the configuration could not be read. Default false. */
  readonly areWaysUnknown?: boolean;
}

/**
 * Reads the answer of Envoy's `/config_dump`. What it does not know, it leaves out: a picture with a gap is better than
 * none. Source: envoyproxy/envoy api/envoy/admin/v3/config_dump_shared.proto.
 */
export function readTopology(dump: unknown): Topology {
  const configs = listOf(dump, "configs");
  const of = (kind: string): unknown =>
    configs.find((config) => textOf(config, "@type") === `type.googleapis.com/envoy.admin.v3.${kind}ConfigDump`);
  const routes = readRoutes(of("Routes"));
  return { listeners: readListeners(of("Listeners"), routes), routes, clusters: readClusters(of("Clusters")) };
}

function readRoutes(dump: unknown): Map<string, RouteTable> {
  const entries = [...listOf(dump, "static_route_configs"), ...listOf(dump, "dynamic_route_configs")];
  const tables = entries.map((entry) => readRouteTable(memberOf(entry, "route_config")));
  return new Map(tables.filter(({ name }) => name !== "").map((table) => [table.name, table]));
}

function readRouteTable(config: unknown): RouteTable {
  const hosts = listOf(config, "virtual_hosts");
  const clusters = new Set<string>();
  collectClusters(hosts, clusters);
  const domains = hosts.map((host) => textOf(listOf(host, "domains")[0])).filter((domain) => domain !== "");
  return { name: textOf(config, "name"), virtualHosts: hosts.length, domains, clusters: [...clusters] };
}

function readListeners(dump: unknown, routes: Map<string, RouteTable>): Listener[] {
  const own = listOf(dump, "static_listeners").map((entry) =>
    readListener(memberOf(entry, "listener"), { isStatic: true, state: "active", refusal: undefined }, routes),
  );
  const dynamic = listOf(dump, "dynamic_listeners").flatMap((entry) => {
    const state = (["active", "warming", "draining"] as const).find((one) => memberOf(entry, `${one}_state`));
    const listener =
      memberOf(entry, `${state}_state`, "listener") ?? memberOf(entry, "error_state", "failed_configuration");
    if (listener === undefined) return []; // refused, and Envoy does not say what it was
    const refusal = readRefusal(entry);
    const found = readListener(listener, { isStatic: false, state: state ?? "warming", refusal }, routes);
    return { ...found, name: textOf(entry, "name") || found.name };
  });
  return [...own, ...dynamic];
}

/** Envoy's words, which may quote what it refuses: without secrets. */
function readRefusal(entry: unknown): string | undefined {
  return hideSecretsInText(textOf(entry, "error_state", "details")) || undefined;
}

type Standing = Pick<Listener, "isStatic" | "state" | "refusal">;

/** Route tables that stand in the listener itself join `routes`. */
function readListener(listener: unknown, standing: Standing, routes: Map<string, RouteTable>): Listener {
  const chains = [...listOf(listener, "filter_chains"), memberOf(listener, "default_filter_chain")];
  const address = addressOf(memberOf(listener, "address"));
  const name = textOf(listener, "name") || address;
  const tables = new Set<string>();
  const clusters = new Set<string>();
  for (const config of chains
    .flatMap((chain) => listOf(chain, "filters"))
    .map((one) => memberOf(one, "typed_config"))) {
    const named = textOf(config, "rds", "route_config_name");
    const inline = memberOf(config, "route_config");
    if (named !== "") tables.add(named);
    else if (inline !== undefined) tables.add(addInline(readRouteTable(inline), name, routes));
    else collectClusters(config, clusters);
  }
  return { ...standing, name, address, routes: [...tables], clusters: [...clusters] };
}

/** Inline tables of several listeners may have one name, or none. */
function addInline(table: RouteTable, listener: string, routes: Map<string, RouteTable>): string {
  const known = routes.get(table.name);
  const isKnown = known?.clusters.join() === table.clusters.join();
  const name =
    table.name !== "" && (known === undefined || isKnown) ? table.name : `${table.name || "inline"} (${listener})`;
  routes.set(name, { ...table, name });
  return name;
}

/** Names below `cluster` and `weighted_clusters`, wherever they stand. */
function collectClusters(value: unknown, found: Set<string>): void {
  if (Array.isArray(value)) for (const item of value) collectClusters(item, found);
  if (typeof value !== "object" || value === null || Array.isArray(value)) return;
  for (const [name, member] of Object.entries(value)) {
    if (name === "cluster" && typeof member === "string") found.add(member);
    else if (name === "weighted_clusters") for (const one of listOf(member, "clusters")) found.add(textOf(one, "name"));
    else if (name !== "metadata" && name !== "typed_per_filter_config") collectClusters(member, found);
  }
}

function readClusters(dump: unknown): Map<string, Cluster> {
  const entries = [
    ...listOf(dump, "static_clusters").map((entry) => ({ entry, isStatic: true, state: "active" as const })),
    ...listOf(dump, "dynamic_warming_clusters").map((entry) => ({ entry, isStatic: false, state: "warming" as const })),
    ...listOf(dump, "dynamic_active_clusters").map((entry) => ({ entry, isStatic: false, state: "active" as const })),
  ];
  return new Map(
    entries.map(({ entry, isStatic, state }): [string, Cluster] => {
      const cluster = memberOf(entry, "cluster");
      const discovery = textOf(cluster, "type") || textOf(cluster, "cluster_type", "name") || "STATIC";
      const refusal = readRefusal(entry);
      return [textOf(cluster, "name"), { name: textOf(cluster, "name"), discovery, isStatic, state, refusal }];
    }),
  );
}
