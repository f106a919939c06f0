import { addressOf, listOf, memberOf, numberOf, textOf } from "./json.ts";
import type { Topology } from "./read-topology.ts";

export interface Endpoint {
  readonly address: string;
  /** Why it gets no requests, or fewer than others: `unhealthy`, `outlier`, ...; undefined when it is healthy. */
  readonly trouble: string | undefined;
}

/** Counters since Envoy's start, over the endpoints that a cluster has now. */
export interface Counters {
  /** Those that were answered or have failed. */
  readonly requests: number;
  /** Of these: answers with 5xx, resets, and endpoints that could not be reached. */
  readonly errors: number;
  readonly connections: number;
  /** How many requests took how long: the middle of a bin in milliseconds, and a count. Undefined where Envoy keeps no such statistics. */
  readonly latencies: ReadonlyMap<number, number> | undefined;
}

export interface ClusterTraffic extends Counters {
  readonly endpoints: readonly Endpoint[];
}

/** Of one moment, by the names of clusters. */
export type Traffic = ReadonlyMap<string, ClusterTraffic>;

/** Envoy keeps these for every endpoint, whatever `proxyStatsMatcher` leaves out. */
export const CLUSTERS_PATH = "/clusters?format=json";

/** Latencies, and Envoy's own figures. */
export const STATS_PATH = `/stats?format=json&usedonly&histogram_buckets=detailed&filter=${encodeURIComponent(
  "^(cluster\\..*\\.upstream_rq_time|server\\.(uptime|memory_physical_size|memory_allocated|total_connections)|(cluster_manager\\.cds|listener_manager\\.lds)\\.update_time)$",
)}`;

/** Envoy's own figures. */
export interface ServerFigures {
  readonly uptimeSeconds: number;
  readonly memoryBytes: number;
  readonly connections: number;
  /** Changes when Envoy takes clusters or listeners. */
  readonly configuredAt: string;
}

/** Joins the answers at `CLUSTERS_PATH` and `STATS_PATH`. */
export function readTraffic(clusters: unknown, stats: unknown): Traffic {
  const latencies = readLatencies(stats);
  return new Map(
    listOf(clusters, "cluster_statuses").map((cluster): [string, ClusterTraffic] => {
      const hosts = listOf(cluster, "host_statuses").map((host) => ({ host, counts: countsOf(host) }));
      const sum = (name: string): number => hosts.reduce((total, { counts }) => total + (counts.get(name) ?? 0), 0);
      const statName = (textOf(cluster, "observability_name") || textOf(cluster, "name")).replaceAll(":", "_");
      return [
        textOf(cluster, "name"),
        {
          requests: sum("rq_success") + sum("rq_error"), // `rq_total` is without those that found no connection
          errors: sum("rq_error"),
          connections: sum("cx_total"),
          latencies: latencies.get(`cluster.${statName}.upstream_rq_time`),
          endpoints: hosts.map(({ host }) => readEndpoint(host)),
        },
      ];
    }),
  );
}

/** What traffic alone tells of a configuration that cannot be read: the clusters. */
export function topologyOf(traffic: Traffic): Topology {
  const clusters = [...traffic.keys()].map(
    (name) => [name, { name, discovery: "", isStatic: false, state: "active", refusal: undefined }] as const,
  );
  return { listeners: [], routes: new Map(), clusters: new Map(clusters), areWaysUnknown: true };
}

export function readServerFigures(stats: unknown): ServerFigures {
  const values = new Map(listOf(stats, "stats").map((stat) => [textOf(stat, "name"), numberOf(stat, "value")]));
  const times = ["cluster_manager.cds.update_time", "listener_manager.lds.update_time"];
  return {
    uptimeSeconds: values.get("server.uptime") ?? 0,
    memoryBytes: values.get("server.memory_physical_size") ?? values.get("server.memory_allocated") ?? 0,
    connections: values.get("server.total_connections") ?? 0,
    configuredAt: times.map((name) => values.get(name) ?? 0).join(),
  };
}

function countsOf(host: unknown): ReadonlyMap<string, number> {
  return new Map(listOf(host, "stats").map((stat) => [textOf(stat, "name"), numberOf(stat, "value")]));
}

function readEndpoint(host: unknown): Endpoint {
  const health = memberOf(host, "health_status");
  const eds = textOf(health, "eds_health_status");
  const trouble = [
    memberOf(health, "failed_active_health_check") === true && "health check fails",
    memberOf(health, "failed_outlier_check") === true && "outlier",
    memberOf(health, "failed_active_degraded_check") === true && "degraded",
    memberOf(health, "pending_dynamic_removal") === true && "being removed",
    eds !== "" && eds !== "HEALTHY" && eds !== "UNKNOWN" && eds.toLowerCase(),
  ].filter((one) => one !== false);
  return {
    address: addressOf(memberOf(host, "address")),
    trouble: trouble.length === 0 ? undefined : trouble.join(", "),
  };
}

function readLatencies(stats: unknown): ReadonlyMap<string, ReadonlyMap<number, number>> {
  const details = listOf(stats, "stats").flatMap((stat) => listOf(stat, "histograms", "details"));
  return new Map(
    details.map((one): [string, ReadonlyMap<number, number>] => [
      textOf(one, "name"),
      new Map(
        listOf(one, "totals").map((bin) => [
          numberOf(bin, "lower_bound") + numberOf(bin, "width") / 2,
          numberOf(bin, "count"),
        ]),
      ),
    ]),
  );
}
