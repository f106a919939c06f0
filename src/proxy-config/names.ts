import { type Message, messageOf, numberOf, textOf } from "./dump.ts";

/** What Istio puts into the name of a cluster. */
export interface ClusterName {
  readonly direction: string;
  readonly port: number;
  readonly subset: string;
  readonly host: string;
}

/**
 * `outbound|8080|v1|reviews.default.svc.cluster.local` in its parts, `outbound_.8080_.v1_.reviews…` as well; those that
 * are missing are empty. Source: istio/istio pilot/pkg/model/service.go (`ParseSubsetKey`).
 */
export function parseClusterName(name: string): ClusterName {
  const mark = /^(outbound|inbound)_\./.test(name) ? "_." : "|";
  const [direction, port, subset, ...host] = name.split(mark);
  const hasPort = host.length > 0 || subset !== undefined;
  return {
    direction: port === undefined ? "" : (direction ?? ""),
    port: hasPort && /^[+-]?\d+$/.test(port ?? "") ? Number(port) : 0,
    subset: host.length > 0 ? (subset ?? "") : "",
    host: host.length === 1 ? (host[0] ?? "") : "",
  };
}

/** Whether istioctl shows the name in its parts. */
export function isIstioName(name: string): boolean {
  return name.split("|").length > 3;
}

/** By host, subset, port and direction; a name that is not Istio's counts as a host. */
export function compareClusterNames(a: string, b: string): number {
  const [one, other] = [sortedParts(a), sortedParts(b)];
  return (
    compareTexts(one.host, other.host) ||
    compareTexts(one.subset, other.subset) ||
    one.port - other.port ||
    compareTexts(one.direction, other.direction)
  );
}

function sortedParts(name: string): ClusterName {
  return isIstioName(name) ? parseClusterName(name) : { direction: "", port: 0, subset: "", host: name };
}

/** In the order of Go, which is that of the bytes. */
export function compareTexts(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** The configuration of Istio that a message comes from: `reviews.default`; empty when it does not say. */
export function managedBy({ metadata }: Message): string {
  const { istio } = messageOf(messageOf(metadata).filter_metadata);
  const { config } = messageOf(istio);
  if (config === undefined) return "";
  const path = textOf(config);
  if (!path.startsWith("/apis/networking.istio.io/")) return "<unknown>";
  const pieces = path.split("/");
  return pieces.length === 8 ? `${pieces[7]}.${pieces[5]}` : "";
}

/** `10.0.0.1:8080`, or whatever else an endpoint is. IPv6 has no brackets in istioctl's tables. */
export function endpointAddress(address: unknown, pipePrefix = ""): string {
  const { socket_address: socket, pipe, envoy_internal_address: internal } = messageOf(address);
  if (socket !== undefined) return `${textOf(messageOf(socket).address)}:${numberOf(messageOf(socket).port_value)}`;
  if (pipe !== undefined) return pipePrefix + textOf(messageOf(pipe).path);
  const { server_listener_name: listener, endpoint_id: id } = messageOf(internal);
  return typeof listener === "string" ? `envoy://${listener}/${textOf(id)}` : "unknown";
}
