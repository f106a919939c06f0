import type { KubeObject } from "../../kubernetes/index.ts";

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
  readonly port?: number;
  readonly protocol?: string;
  readonly hostname?: string;
  readonly tls?: { readonly mode?: string };
}

/** Of an Istio Gateway; `virtualServices` are all that may be bound to it. Source: istio/api networking/v1 Gateway. */
export function istioListeners(
  gateway: KubeObject,
  virtualServices: readonly KubeObject[],
): readonly GatewayListener[] {
  const { name = "", namespace = "" } = gateway.metadata ?? {};
  const bound = virtualServices.flatMap(({ metadata, spec }) => {
    const { gateways = [], hosts = [] } = spec as { gateways?: readonly string[]; hosts?: readonly string[] };
    const names = metadata?.namespace === namespace ? [name, `${namespace}/${name}`] : [`${namespace}/${name}`];
    return gateways.some((one) => names.includes(one)) ? hosts : [];
  });
  const { servers = [] } = (gateway.spec ?? {}) as { readonly servers?: readonly IstioServer[] };
  return servers.flatMap(({ port: { number: port, protocol = "HTTP" } = {}, hosts = [], tls }) => {
    if (port === undefined) return [];
    const own = hosts.map((host) => host.slice(host.indexOf("/") + 1));
    const kind = tls?.mode === undefined ? "none" : tlsOf(tls.mode);
    return [{ port, protocol: protocol.toUpperCase(), hosts: concrete(own, bound), tls: kind }];
  });
}

/** Of a Gateway of the Gateway API; `routes` are all that may refer to it. Source: gateway.networking.k8s.io/v1. */
export function apiListeners(gateway: KubeObject, routes: readonly KubeObject[]): readonly GatewayListener[] {
  const { name = "", namespace = "" } = gateway.metadata ?? {};
  const bound = routes.flatMap(({ metadata, spec }) => {
    const { parentRefs = [], hostnames = [] } = spec as {
      readonly parentRefs?: readonly { readonly name: string; readonly namespace?: string }[];
      readonly hostnames?: readonly string[];
    };
    const refers = parentRefs.some((one) => one.name === name && (one.namespace ?? metadata?.namespace) === namespace);
    return refers ? hostnames : [];
  });
  const { listeners = [] } = (gateway.spec ?? {}) as { readonly listeners?: readonly ApiListener[] };
  return listeners.flatMap(({ port, protocol = "HTTP", hostname, tls }) => {
    if (port === undefined) return [];
    const kind = protocol === "HTTPS" || protocol === "TLS" ? tlsOf(tls?.mode ?? "SIMPLE") : "none";
    return [{ port, protocol, hosts: concrete([hostname ?? "*"], bound), tls: kind }];
  });
}

function tlsOf(mode: string): GatewayListener["tls"] {
  return /MUTUAL/.test(mode) ? "mutual" : "server";
}

/** A host with a wildcard stands for those hosts of routes that it covers. */
function concrete(hosts: readonly string[], bound: readonly string[]): readonly string[] {
  const all = hosts.flatMap((host) => {
    if (!host.startsWith("*")) return [host];
    const covered = bound.filter((one) => !one.startsWith("*") && one.endsWith(host.slice(1)));
    return covered.length > 0 || host === "*" ? covered : [`any${host.slice(1)}`];
  });
  return [...new Set(all)];
}

/** Command lines that reach the listener on `port` of this machine: one for each host. */
export function curlLines({ port: wanted, protocol, hosts, tls }: GatewayListener, port: number): readonly string[] {
  const isHttp = /^(HTTP|HTTP2|GRPC|GRPC-WEB|HTTPS)$/.test(protocol);
  if (!isHttp && tls === "none") return [`nc 127.0.0.1 ${port}`];
  const scheme = tls === "none" ? "http" : "https";
  const usual = scheme === "http" ? 80 : 443;
  const trust = { none: "", server: " -k", mutual: " -k --cert client.pem --key client-key.pem" }[tls];
  if (hosts.length === 0) return [`curl -i${trust} ${scheme}://127.0.0.1:${port}/`];
  return hosts.map((host) => {
    const authority = wanted === usual ? host : `${host}:${wanted}`;
    return `curl -i${trust} --connect-to ${host}:${wanted}:127.0.0.1:${port} ${scheme}://${authority}/`;
  });
}
