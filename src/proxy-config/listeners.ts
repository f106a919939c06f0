import {
  type Dump,
  listOf,
  type Message,
  messageOf,
  messagesIn,
  numberOf,
  partOf,
  refuseNone,
  type Shown,
  textOf,
} from "./dump.ts";
import { describeChainMatch, describeMatch } from "./matches.ts";
import { compareTexts } from "./names.ts";

/** What is empty or 0 is not asked. Address and type count in any case. */
export interface ListenerFilter {
  readonly address: string;
  readonly port: number;
  /** `HTTP`, `TCP`, `HTTP+TCP` or `UNKNOWN`. */
  readonly type: string;
  /** A line for each filter chain, instead of one for each listener. */
  readonly isVerbose: boolean;
}

const HTTP = "envoy.filters.network.http_connection_manager";
const TCP = "envoy.filters.network.tcp_proxy";
const BLACK_HOLE = "BlackHoleCluster";

/** Listeners, active and static. Throws CONFIG_INVALID when the dump has none. Source: istioctl's configdump/listener.go. */
export function showListeners(dump: Dump, filter: ListenerFilter): Shown {
  const part = partOf(dump, "ListenersConfigDump");
  const all = [
    ...messagesIn(part.dynamic_listeners, "active_state", "listener"),
    ...messagesIn(part.static_listeners, "listener"),
  ];
  refuseNone(all, "listeners");
  const listeners = all.filter((listener) => passes(listener, filter));
  const sorted = [...listeners].sort(compareListeners);
  const table = filter.isVerbose
    ? { head: ["ADDRESSES", "PORT", "MATCH", "DESTINATION"], rows: sorted.flatMap(chainRows), gap: 1 }
    : { head: ["ADDRESSES", "PORT", "TYPE"], rows: sorted.map((one) => [...placeOf(one), typeOf(one)]), gap: 1 };
  return { table, messages: listeners };
}

function passes(listener: Message, { address, port, type }: ListenerFilter): boolean {
  const isSame = (one: string, wanted: string): boolean => one.toLowerCase() === wanted.toLowerCase();
  return (
    (address === "" || addressesOf(listener).some((one) => isSame(one, address))) &&
    (port === 0 || portOf(listener) === port) &&
    (type === "" || isSame(typeOf(listener), type))
  );
}

function compareListeners(a: Message, b: Message): number {
  return (
    portOf(a) - portOf(b) ||
    compareTexts(addressesOf(a)[0] ?? "", addressesOf(b)[0] ?? "") ||
    compareTexts(typeOf(a), typeOf(b))
  );
}

const placeOf = (listener: Message): string[] => [addressesOf(listener).join(","), String(portOf(listener))];

function chainRows(listener: Message): string[][] {
  return chainsOf(listener)
    .map((chain) => [describeChainMatch(chain.filter_chain_match), destinationOf(filtersOf(chain))] as const)
    .sort(([, a], [, b]) => compareTexts(b, a))
    .map((row) => [...placeOf(listener), ...row]);
}

function addressesOf({ address, additional_addresses: more }: Message): string[] {
  const { socket_address: socket, pipe } = messageOf(address);
  const first = socket === undefined ? textOf(messageOf(pipe).path) : textOf(messageOf(socket).address);
  const others = listOf(more).map((one) => messageOf(messageOf(messageOf(one).address).socket_address));
  return [first, ...others.map((one) => textOf(one.address))];
}

function portOf({ address }: Message): number {
  return numberOf(messageOf(messageOf(address).socket_address).port_value);
}

function chainsOf({ filter_chains: chains, default_filter_chain: last }: Message): Message[] {
  return [...listOf(chains), ...(last === undefined ? [] : [last])].map(messageOf);
}

const filtersOf = (chain: Message): Message[] => listOf(chain.filters).map(messageOf);

function typeOf(listener: Message): string {
  const filters = chainsOf(listener).flatMap(filtersOf);
  const hasHttp = filters.some(({ name }) => name === HTTP);
  const hasTcp = filters.some(isTcp);
  if (hasHttp) return hasTcp ? "HTTP+TCP" : "HTTP";
  return hasTcp ? "TCP" : "UNKNOWN";
}

function isTcp({ name, typed_config: config }: Message): boolean {
  return name === TCP && !JSON.stringify(config ?? null).includes(BLACK_HOLE);
}

function destinationOf(filters: readonly Message[]): string {
  const found = filters.find((filter) => filter.name === HTTP || isTcp(filter));
  if (found === undefined) return "Non-HTTP/Non-TCP";
  const config = messageOf(found.typed_config);
  if (found.name === TCP) return clusterText(textOf(config.cluster));
  if (config.route_config !== undefined) return describeRoutes(messageOf(config.route_config));
  const name = textOf(messageOf(config.rds).route_config_name);
  return name === "" ? "HTTP" : `Route: ${name}`;
}

/** Istio's own clusters have the word in their names. */
const clusterText = (name: string): string => (name.includes("Cluster") ? name : `Cluster: ${name}`);

function describeRoutes({ virtual_hosts: hosts }: Message): string {
  const all = listOf(hosts).map(messageOf);
  const cluster = onlyClusterOf(all);
  if (cluster !== undefined) return clusterText(cluster);
  const shown = all.map((host) => {
    const domains = listOf(host.domains).map(textOf);
    const routes = listOf(host.routes).map((route) => describeMatch(messageOf(route).match));
    const isAny = domains.length === 1 && domains[0] === "*";
    return `${isAny || domains.length === 0 ? "" : `${domains.join("/")} `}${routes.join(", ")}`;
  });
  return `Inline Route: ${shown.join("; ")}`;
}

/** Where everything goes, if it all goes to one cluster. */
function onlyClusterOf(hosts: readonly Message[]): string | undefined {
  const [host, ...others] = hosts;
  const domains = listOf(host?.domains);
  const [route, ...more] = listOf(host?.routes).map(messageOf);
  if (others.length > 0 || domains.length !== 1 || domains[0] !== "*" || more.length > 0) return undefined;
  if (messageOf(route?.match).prefix !== "/") return undefined;
  const { cluster } = messageOf(route?.route);
  return typeof cluster === "string" && cluster !== "" ? cluster : undefined;
}
