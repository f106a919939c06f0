import type { JsonObject } from "../../istio/mesh/index.ts";

// Envoy is the only process with sockets on both sides: whatever else has to cross goes through static listeners of it.

/** A port in the namespace or on the machine. */
interface End {
  /** Default: the loopback address. */
  readonly address?: string;
  readonly port: number;
  readonly isInside: boolean;
}

/** What is sent to one end arrives at the other. */
export interface Relay {
  readonly name: string;
  readonly protocol: "TCP" | "UDP";
  readonly from: End;
  readonly to: End;
}

/** Static resources of a bootstrap. */
export interface StaticResources {
  readonly listeners: readonly JsonObject[];
  readonly clusters: readonly JsonObject[];
}

/** `namespace` is the file of it. */
export function relayResources(relays: readonly Relay[], namespace: string): StaticResources {
  return {
    listeners: relays.map((relay) => listenerOf(relay, namespace)),
    clusters: relays.map((relay) => clusterOf(relay, namespace)),
  };
}

const FILTERS = "type.googleapis.com/envoy.extensions.filters";
/** From the last packet of a question of DNS until its socket is closed. */
const UDP_IDLE = "10s";

function listenerOf({ name, protocol, from }: Relay, namespace: string): JsonObject {
  const listener = { name, address: { socket_address: socketAddress(from, protocol, namespace) } };
  if (protocol === "TCP") {
    const config = { "@type": `${FILTERS}.network.tcp_proxy.v3.TcpProxy`, stat_prefix: name, cluster: name };
    const filter = { name: "envoy.filters.network.tcp_proxy", typed_config: config };
    return {
      ...listener,
      traffic_direction: from.isInside ? "OUTBOUND" : "INBOUND",
      filter_chains: [{ filters: [filter] }],
    };
  }
  const udp = `${FILTERS}.udp.udp_proxy.v3`;
  const action = { name: "route", typed_config: { "@type": `${udp}.Route`, cluster: name } };
  const config = {
    "@type": `${udp}.UdpProxyConfig`,
    stat_prefix: name,
    idle_timeout: UDP_IDLE,
    matcher: { on_no_match: { action } },
  };
  return { ...listener, listener_filters: [{ name: "envoy.filters.udp_listener.udp_proxy", typed_config: config }] };
}

function clusterOf({ name, protocol, to }: Relay, namespace: string): JsonObject {
  const endpoint = { address: { socket_address: socketAddress({ ...to, isInside: false }, protocol, namespace) } };
  const source = socketAddress({ port: 0, isInside: true }, "TCP", namespace);
  return {
    name,
    type: "STATIC",
    connect_timeout: "5s",
    ...(to.isInside ? { upstream_bind_config: { source_address: source } } : {}),
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint }] }] },
  };
}

const LOOPBACK = "127.0.0.1";

function socketAddress(
  { address = LOOPBACK, port, isInside }: End,
  protocol: Relay["protocol"],
  namespace: string,
): JsonObject {
  const socket = { protocol, address, port_value: port };
  return isInside ? { ...socket, network_namespace_filepath: namespace } : socket;
}
