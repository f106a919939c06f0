import { joinHostPort, shellWord } from "../../base/index.ts";
import type { KubeObject } from "../../kubernetes/index.ts";
import type { ListenerAddress } from "../listener-ports.ts";

/** Where a gateway takes requests, as somebody wrote it down. */
export interface GatewayListener {
  /** Of the Gateway, which a Service may map to another one of the pod. */
  readonly port: number;
  readonly protocol: string;
  /** Names that can be asked for; empty for any. */
  readonly hosts: readonly string[];
  readonly tls: "none" | "server" | "mutual";
}

interface IstioServer {
  readonly port?: { readonly number?: number; readonly protocol?: string };
  readonly hosts?: readonly string[];
  readonly tls?: { readonly mode?: string };
}

interface ApiListener {
  readonly name?: string;
  readonly port?: number;
  readonly protocol?: string;
  readonly hostname?: string;
  readonly tls?: { readonly mode?: string };
  readonly allowedRoutes?: { readonly namespaces?: { readonly from?: string } };
}

interface ParentReference {
  readonly kind?: string;
  readonly name: string;
  readonly namespace?: string;
  readonly sectionName?: string;
  readonly port?: number;
}

/** A host that a route answers, and where the route is. */
interface BoundHost {
  readonly host: string;
  readonly namespace: string;
}

/**
 * Of an Istio Gateway whose pods are in `podNamespace`; `virtualServices` are all that may be bound to it. Source: istio/api
 * networking/v1 Gateway (`hosts` of a server, `NAMESPACE/HOST`) and VirtualService (`exportTo`).
 */
export function istioListeners(
  gateway: KubeObject,
  virtualServices: readonly KubeObject[],
  podNamespace?: string,
): readonly GatewayListener[] {
  const { name = "", namespace = "" } = gateway.metadata ?? {};
  const bound = virtualServices.flatMap(({ metadata, spec }): readonly BoundHost[] => {
    const { namespace: own = "" } = metadata ?? {};
    const { gateways = [], hosts = [], exportTo = ["*"] } = spec as VirtualServiceSpec;
    const names = own === namespace ? [name, `${namespace}/${name}`] : [`${namespace}/${name}`];
    const isSeen = exportTo.length === 0 || exportTo.some((to) => covers(to, own, podNamespace ?? namespace));
    return isSeen && gateways.some((one) => names.includes(one)) ? hosts.map((host) => ({ host, namespace: own })) : [];
  });
  const { servers = [] } = (gateway.spec ?? {}) as { readonly servers?: readonly IstioServer[] };
  return servers.flatMap(({ port: { number: port, protocol = "HTTP" } = {}, hosts = [], tls }) => {
    if (port === undefined) return [];
    const all = hosts.flatMap((host) => {
      const [place, dns] = host.includes("/") ? (host.split("/", 2) as [string, string]) : ["*", host];
      return concrete(
        dns,
        bound.filter((one) => covers(place, namespace, one.namespace)).map((one) => one.host),
      );
    });
    const kind = tls?.mode === undefined ? "none" : tlsOf(tls.mode);
    return [{ port, protocol: protocol.toUpperCase(), hosts: usable(all), tls: kind }];
  });
}

interface VirtualServiceSpec {
  readonly gateways?: readonly string[];
  readonly hosts?: readonly string[];
  readonly exportTo?: readonly string[];
}

/** Whether `pattern`, written in namespace `from`, means a namespace: `*`, `.`, its name. */
function covers(pattern: string, from: string, namespace: string): boolean {
  return pattern === "*" || namespace === (pattern === "." ? from : pattern);
}

/**
 * Of a Gateway of the Gateway API; `routes` are all that may refer to it. One that its controller has refused is none, so a
 * selector of namespaces need not be known. Source: gateway.networking.k8s.io/v1.
 */
export function apiListeners(gateway: KubeObject, routes: readonly KubeObject[]): readonly GatewayListener[] {
  const { namespace = "" } = gateway.metadata ?? {};
  const { listeners = [] } = (gateway.spec ?? {}) as { readonly listeners?: readonly ApiListener[] };
  return listeners.flatMap((listener) => {
    const { port, protocol = "HTTP", hostname = "*", tls, allowedRoutes } = listener;
    if (port === undefined) return [];
    const allowed = routes.filter((route) => isAllowed(allowedRoutes?.namespaces?.from, route, namespace));
    const bound = allowed.flatMap((route) => (refersTo(route, gateway, listener) ? hostnamesOf(route) : []));
    const kind = protocol === "HTTPS" || protocol === "TLS" ? tlsOf(tls?.mode ?? "SIMPLE") : "none";
    return [{ port, protocol, hosts: usable(concrete(hostname, bound)), tls: kind }];
  });
}

function isAllowed(from = "Same", { metadata }: KubeObject, namespace: string): boolean {
  return from === "Same" ? metadata?.namespace === namespace : from !== "None";
}

function hostnamesOf({ spec }: KubeObject): readonly string[] {
  return (spec as { readonly hostnames?: readonly string[] }).hostnames ?? [];
}

function refersTo({ metadata, spec, status }: KubeObject, gateway: KubeObject, listener: ApiListener): boolean {
  const { parentRefs = [] } = spec as { readonly parentRefs?: readonly ParentReference[] };
  const isOurs = ({ kind = "Gateway", name, namespace = metadata?.namespace, sectionName, port }: ParentReference) =>
    kind === "Gateway" &&
    name === gateway.metadata?.name &&
    namespace === gateway.metadata?.namespace &&
    (sectionName === undefined || sectionName === listener.name) &&
    (port === undefined || port === listener.port);
  const { parents = [] } = (status ?? {}) as { readonly parents?: readonly ParentStatus[] };
  const isRefused = (one: ParentReference): boolean =>
    parents.some(
      ({ parentRef, conditions = [] }) =>
        parentRef?.name === one.name &&
        parentRef.namespace === one.namespace &&
        parentRef.sectionName === one.sectionName &&
        conditions.some(({ type, status: is }) => type === "Accepted" && is === "False"),
    );
  return parentRefs.some((one) => isOurs(one) && !isRefused(one));
}

interface ParentStatus {
  readonly parentRef?: ParentReference;
  readonly conditions?: readonly { readonly type: string; readonly status: string }[];
}

function tlsOf(mode: string): GatewayListener["tls"] {
  return /MUTUAL/.test(mode) ? "mutual" : "server";
}

/** A host with a wildcard stands for those hosts of routes that it covers. */
function concrete(host: string, bound: readonly string[]): readonly string[] {
  if (!host.startsWith("*")) return [host];
  const covered = bound.filter((one) => !one.startsWith("*") && one.endsWith(host.slice(1)));
  return covered.length > 0 || host === "*" ? covered : [`any${host.slice(1)}`];
}

/** Each once, and only what can be the name of a host and printed in one line. */
function usable(hosts: readonly string[]): readonly string[] {
  return [...new Set(hosts)].filter((host) => /^[^\s\p{C}/]+$/u.test(host));
}

/** Command lines that reach the listener at an address of this machine: one for each host. */
export function curlLines(
  { port: wanted, protocol, hosts, tls }: GatewayListener,
  at: ListenerAddress,
): readonly string[] {
  const isHttp = /^(HTTP|HTTP2|GRPC|GRPC-WEB|HTTPS)$/.test(protocol);
  if (!isHttp && tls === "none") return [`nc ${at.host} ${at.port}`];
  const scheme = tls === "none" ? "http" : "https";
  const usual = scheme === "http" ? 80 : 443;
  const trust = { none: "", server: " -k", mutual: " -k --cert client.pem --key client-key.pem" }[tls];
  const place = joinHostPort(at.host, at.port);
  if (hosts.length === 0) return [`curl -i${trust} ${shellWord(`${scheme}://${place}/`)}`];
  return hosts.map((host) => {
    const authority = wanted === usual ? host : `${host}:${wanted}`;
    const connectTo = shellWord(`${host}:${wanted}:${place}`);
    return `curl -i${trust} --connect-to ${connectTo} ${shellWord(`${scheme}://${authority}/`)}`;
  });
}
