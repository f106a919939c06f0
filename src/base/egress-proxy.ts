import { BlockList, isIP } from "node:net";
import type { ChannelOptions } from "@grpc/grpc-js";
import { splitHostPort } from "./net.ts";
import type { Secret } from "./secret.ts";

/** An HTTP proxy that connections out of this machine go through, and what it is not for. */
export interface EgressProxy {
  /** `host:port`. */
  readonly address: string;
  /** `user:password`; undefined for none. */
  readonly credentials: Secret | undefined;
  /** Entries of `NO_PROXY`: `*`, a domain (its subdomains count), an address or CIDR, the first three with or without port. */
  readonly except: readonly string[];
}

/** What a gRPC client has to be made with. */
export interface GrpcTarget {
  readonly target: string;
  readonly options: ChannelOptions;
}

/**
 * The way to `address` (`host:port`). The library's own reading of the environment is off: it knows other names and
 * rules than Go's, by which people have set these variables, and it would send loopback connections to the proxy.
 */
export function grpcTarget(address: string, proxy: EgressProxy | undefined): GrpcTarget {
  const direct = { target: `dns:${address}`, options: { "grpc.enable_http_proxy": 0 } };
  if (proxy === undefined || !isProxied(address, proxy.except)) return direct;
  const options: ChannelOptions = { ...direct.options, "grpc.http_connect_target": direct.target };
  if (proxy.credentials !== undefined) options["grpc.http_connect_creds"] = proxy.credentials.revealText();
  return { target: `dns:${proxy.address}`, options };
}

/** Source: golang.org/x/net/http/httpproxy (useProxy). */
export function isProxied(address: string, except: readonly string[]): boolean {
  const { host, port } = hostAndPort(address.trim().toLowerCase());
  if (host === "localhost" || isIn(host, "127.0.0.0/8") || host === "::1") return false;
  return !except.some((entry) => isNamed(host, port, entry.trim().toLowerCase()));
}

function isNamed(host: string, port: string, entry: string): boolean {
  if (entry === "*") return true;
  if (entry.includes("/")) return isIn(host, entry);
  const named = hostAndPort(entry);
  if (named.host === "" || (named.port !== "" && named.port !== port)) return false;
  if (isIP(named.host) !== 0) return isIn(host, `${named.host}/${isIP(named.host) === 4 ? 32 : 128}`);
  const name = named.host.replace(/^\*(?=\.)/, "");
  return name.startsWith(".") ? host.endsWith(name) : host === name || host.endsWith(`.${name}`);
}

function isIn(host: string, cidr: string): boolean {
  const [network = "", prefix = ""] = cidr.split("/");
  const [kind, own] = [isIP(host), isIP(network)];
  if (kind === 0 || own === 0 || !/^\d+$/.test(prefix) || Number(prefix) > (own === 4 ? 32 : 128)) return false;
  const list = new BlockList();
  list.addSubnet(network, Number(prefix), own === 4 ? "ipv4" : "ipv6");
  return list.check(host, kind === 4 ? "ipv4" : "ipv6");
}

function hostAndPort(text: string): { readonly host: string; readonly port: string } {
  const split = splitHostPort(text);
  return typeof split === "string" ? { host: text.replace(/^\[(.*)\]$/, "$1"), port: "" } : split;
}
