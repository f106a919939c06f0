import { listOf, type Message, messageOf, numberOf, textOf } from "./dump.ts";

// What a route or a filter chain is for, in istioctl's words.

/** The path that a route is for; headers are left out. */
export function describeMatch(match: unknown): string {
  const { prefix, path_separated_prefix: folder, path, safe_regex: regex } = messageOf(match);
  return [
    textOf(prefix) && `${textOf(prefix)}*`,
    textOf(folder) && `PathPrefix:${textOf(folder)}`,
    textOf(path),
    regex === undefined ? "" : `regex ${textOf(messageOf(regex).regex)}`,
  ]
    .filter((part) => part !== "")
    .join(" ");
}

/** Lists of ALPN that Istio configures. Source: istioctl's configdump/listener.go. */
const APPLICATIONS: ReadonlyMap<string, string> = new Map([
  ["http/1.0,http/1.1,h2c,istio-http/1.0,istio-http/1.1,istio-h2", "App: HTTP TLS"],
  ["istio,istio-http/1.0,istio-http/1.1,istio-h2", "App: Istio HTTP Plain"],
  ["istio-peer-exchange,istio", "App: TCP TLS"],
  ["http/1.0,http/1.1,h2c", "App: HTTP"],
]);

/** Which connections a filter chain is for. */
export function describeChainMatch(match: unknown): string {
  const { server_names: names, transport_protocol: transport, application_protocols: protocols } = messageOf(match);
  const applications = listOf(protocols).map(textOf).join(",");
  const parts = [
    listOf(names).length === 0 ? "" : `SNI: ${listOf(names).map(textOf).join(",")}`,
    textOf(transport) && `Trans: ${textOf(transport)}`,
    listOf(protocols).length === 0 ? "" : (APPLICATIONS.get(applications) ?? `App: ${applications}`),
    describeAddresses(messageOf(match)),
  ].filter((part) => part !== "");
  return parts.length === 0 ? "ALL" : parts.join("; ");
}

function describeAddresses({ destination_port: port, prefix_ranges: ranges }: Message): string {
  const suffix = port === undefined ? "" : `:${numberOf(port)}`;
  const shown = listOf(ranges)
    .map(messageOf)
    .map(({ address_prefix: prefix, prefix_len: length }) => `${textOf(prefix)}/${numberOf(length)}`);
  if (shown.length > 0) return `Addr: ${shown.join(",")}${suffix}`;
  return suffix === "" ? "" : `Addr: *${suffix}`;
}
