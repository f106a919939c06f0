/** A configuration of Envoy as its `/config_dump` gives it: so many clusters behind one route table, and one without it. */
export function dumpOf(names: readonly string[]): unknown {
  const of = (kind: string, members: object) => ({
    "@type": `type.googleapis.com/envoy.admin.v3.${kind}ConfigDump`,
    ...members,
  });
  const at = (port: number) => ({ socket_address: { address: "127.0.0.1", port_value: port } });
  const http = (config: object) => [{ filters: [{ typed_config: config }] }];
  const cluster = (name: string) => ({ cluster: { name, type: "STATIC" } });
  return {
    configs: [
      of("Listeners", {
        static_listeners: [
          { listener: { address: at(15090), filter_chains: http({ route_config: tableOf("", ["own"]) }) } },
        ],
        dynamic_listeners: [
          {
            name: "web",
            active_state: { listener: { address: at(80), filter_chains: http({ rds: { route_config_name: "80" } }) } },
            error_state: { details: "malformed <IP> address" },
          },
          {
            name: "tcp",
            active_state: {
              listener: {
                address: at(81),
                filter_chains: http({ weighted_clusters: { clusters: [{ name: "database", weight: 1 }] } }),
              },
            },
          },
          { error_state: { details: "nobody knows which" } },
        ],
      }),
      of("Routes", { dynamic_route_configs: [{ route_config: tableOf("80", names) }] }),
      of("Clusters", {
        static_clusters: [cluster("own")],
        dynamic_active_clusters: [...names, "database"].map(cluster),
        dynamic_warming_clusters: [cluster("warms")],
      }),
      of("Secrets", { dynamic_active_secrets: [{ name: "default" }] }),
      "not even an object",
    ],
  };
}

function tableOf(name: string, clusters: readonly string[]): unknown {
  const hosts = clusters.map((cluster) => ({ domains: [`${cluster}.shop`], routes: [{ route: { cluster } }] }));
  return { name, virtual_hosts: hosts };
}

/** What `/clusters?format=json` says of one: requests that succeeded and failed, and its endpoints. */
export function clusterStatus(name: string, [good, bad]: readonly [number, number], ports: readonly number[]): unknown {
  const stats = [
    { name: "rq_success", value: String(good) },
    { name: "rq_error", value: String(bad) },
    { name: "cx_total" },
  ];
  return {
    name,
    observability_name: `${name};`,
    host_statuses: ports.map((port, at) => ({
      address: { socket_address: { address: "::1", port_value: port } },
      stats: at === 0 ? stats : [],
      health_status: at === 0 ? { eds_health_status: "HEALTHY" } : { failed_outlier_check: true },
    })),
  };
}

/** What `/stats` says of how long requests took: pairs of milliseconds and a count. */
export function latencyStats(cluster: string, bins: readonly (readonly [ms: number, count: number])[]): unknown {
  const totals = bins.map(([ms, count]) => ({ lower_bound: ms, width: 1, count }));
  const name = `cluster.${cluster.replaceAll(":", "_")};.upstream_rq_time`;
  return { stats: [{ name: "server.uptime", value: 7 }, { histograms: { details: [{ name, totals }] } }] };
}
