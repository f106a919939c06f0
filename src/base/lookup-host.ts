import type { Resolver } from "node:dns";
import { isIP, type LookupFunction } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import { describeError, systemCode } from "./errors.ts";
import { readTextFile } from "./read-file.ts";
import { findInHosts, parseResolvConf, type ResolvConf, searchNames, withoutFinalDot } from "./resolv-conf.ts";

export interface HostAddress {
  readonly address: string;
  readonly family: 4 | 6;
}

export interface LookupOptions {
  /** Ends the look-up at once. */
  readonly signal?: AbortSignal;
  /** Default: `/etc/hosts`. */
  readonly hostsFile?: string;
  /** Default: `/etc/resolv.conf`. Read for each look-up: it changes when a laptop or a VPN does. */
  readonly resolvFile?: string;
  /** Of the servers. Default 53. */
  readonly port?: number;
}

/** How long an answer for one IP version waits for the other's; some servers never answer for IPv6. */
const OTHER_FAMILY_MS = 300;

/**
 * The addresses of a host, best first, at least one. As Go's own resolver, which is the reference's: the address itself,
 * `/etc/hosts`, then the servers of `/etc/resolv.conf`; a dot at the end makes a name absolute. Nothing is remembered.
 * Rejects with an Error in Go's words. Node's `lookup` is not used on Linux, because it sits in getaddrinfo on a thread,
 * and `process.exit` waits for that thread: with a DNS that never answers, for 20 seconds or more. Elsewhere names come
 * from more places (mDNS, VPNs), which getaddrinfo alone knows.
 */
export async function lookupHost(host: string, options: LookupOptions = {}): Promise<readonly HostAddress[]> {
  const { signal, hostsFile = "/etc/hosts", resolvFile = "/etc/resolv.conf" } = options;
  if (isIP(host) !== 0) return [hostAddress(host)];
  const known = findInHosts(await readOptional(hostsFile), host).filter((address) => isIP(address) !== 0);
  if (known.length > 0) return bestFirst(known);
  if (/(^|\.)localhost\.?$/i.test(host)) return bestFirst(["127.0.0.1", "::1"]); // RFC 6761 section 6.3
  signal?.throwIfAborted();
  if (process.platform !== "linux" && options.resolvFile === undefined) return askSystem(host);
  const conf = parseResolvConf(await readOptional(resolvFile), hostname());
  const servers = conf.servers.map((server) => `${isIP(server) === 6 ? `[${server}]` : server}:${options.port ?? 53}`);
  return askServers(host, { ...conf, servers }, signal);
}

/** `lookupHost` in the form that `node:net` and `node:http` take. */
export const lookupForSocket: LookupFunction = (host, { all, family }, done) => {
  const wanted = family === "IPv4" ? 4 : family === "IPv6" ? 6 : (family ?? 0);
  lookupHost(host)
    .then((found) => {
      const fitting = found.filter((one) => wanted === 0 || one.family === wanted);
      const [first] = fitting;
      if (first === undefined) throw new Error(`lookup ${host}: no suitable address`);
      if (all === true) done(null, [...fitting]);
      else done(null, first.address, first.family);
    })
    .catch((error: Error) => done(error, []));
};

/** The same without the addresses that are not permitted; fails with the reason for the first one when none is left. */
export function permittedLookup(permits: (address: string) => string | undefined): LookupFunction {
  return (host, options, done) =>
    lookupForSocket(host, { ...options, all: true }, (error, found) => {
      if (error !== null) return done(error, []);
      const all = found as readonly HostAddress[];
      const fitting = all.filter(({ address }) => permits(address) === undefined);
      const [first] = fitting;
      if (first === undefined) return done(new Error(permits(all[0]?.address ?? "")), []);
      if (options.all === true) done(null, fitting);
      else done(null, first.address, first.family);
    });
}

async function readOptional(file: string): Promise<string> {
  return readTextFile(file).catch(() => ""); // as if empty, like Go
}

async function askSystem(host: string): Promise<readonly HostAddress[]> {
  const { lookup } = await import("node:dns/promises");
  return (await lookup(host, { all: true })).map(({ address }) => hostAddress(address));
}

async function askServers(host: string, conf: ResolvConf, signal?: AbortSignal): Promise<readonly HostAddress[]> {
  const { Resolver } = await import("node:dns"); // only when there is something to look up
  let reason: string | undefined;
  for (const name of searchNames(host, conf)) {
    signal?.throwIfAborted();
    const resolver = new Resolver({ timeout: conf.timeoutMs, tries: conf.attempts });
    resolver.setServers(conf.servers);
    const found = await askBoth(resolver, name, conf, signal);
    if (found.addresses.length > 0) return bestFirst(found.addresses);
    if (reason === undefined || name === withoutFinalDot(host)) reason = found.reason;
  }
  signal?.throwIfAborted();
  throw new Error(`lookup ${host} on ${conf.servers.join(", ")}: ${reason ?? "not a domain name"}`);
}

interface Answers {
  readonly addresses: readonly string[];
  /** Why there are none. */
  readonly reason: string;
}

/** Asks for both IP versions. Never rejects; leaves nothing running. */
async function askBoth(resolver: Resolver, name: string, conf: ResolvConf, signal?: AbortSignal): Promise<Answers> {
  const { attempts, servers, timeoutMs, isSingleRequest } = conf;
  const addresses: string[] = [];
  let reason = "";
  const cancel = (): void => resolver.cancel();
  const limitMs = timeoutMs * attempts * servers.length;
  let limit = setTimeout(cancel, limitMs);
  signal?.addEventListener("abort", cancel, { once: true });
  const ask = async (method: "resolve4" | "resolve6"): Promise<void> => {
    const { found, error } = await query(resolver, method, name);
    addresses.push(...found);
    reason ||= error === undefined ? "" : plainReason(error, limitMs);
    if (found.length === 0 || isSingleRequest) return;
    clearTimeout(limit);
    limit = setTimeout(cancel, OTHER_FAMILY_MS);
  };
  try {
    if (isSingleRequest) for (const method of ["resolve4", "resolve6"] as const) await ask(method);
    else await Promise.all([ask("resolve4"), ask("resolve6")]);
  } finally {
    clearTimeout(limit);
    signal?.removeEventListener("abort", cancel);
  }
  return { addresses, reason };
}

function query(
  resolver: Resolver,
  method: "resolve4" | "resolve6",
  name: string,
): Promise<{ readonly found: readonly string[]; readonly error?: Error }> {
  return new Promise((done) => {
    resolver[method](name, (error, found: string[] | undefined) =>
      done(error === null || error === undefined ? { found: found ?? [] } : { found: [], error }),
    );
  });
}

/** Go's words for what its users know; c-ares' code for the rest. */
function plainReason(error: Error, limitMs: number): string {
  switch (systemCode(error)) {
    case "ENOTFOUND":
    case "ENODATA":
      return "no such host";
    case "ESERVFAIL":
      return "server misbehaving";
    case "ETIMEOUT":
    case "ECANCELLED":
      return `no answer within ${limitMs / 1_000} s`;
    default:
      return systemCode(error) ?? describeError(error);
  }
}

/**
 * IPv6 first where this machine has an address to come from, and local addresses of IPv6 only among themselves: what is
 * left of RFC 6724 when each address is tried anyway.
 */
function bestFirst(addresses: readonly string[]): readonly HostAddress[] {
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const isGlobal = (address: string): boolean => /^[23]/.test(address);
  const canReachGlobal = own.some(({ family, address }) => family === "IPv6" && isGlobal(address));
  const hasLoopback = own.some(({ address }) => address === "::1");
  const rank = ({ address, family }: HostAddress): number => {
    if (family === 4) return 1;
    if (address === "::1") return hasLoopback ? 0 : 2;
    return isGlobal(address) && canReachGlobal ? 0 : 2;
  };
  return addresses.map(hostAddress).sort((a, b) => rank(a) - rank(b));
}

function hostAddress(address: string): HostAddress {
  return { address, family: isIP(address) === 6 ? 6 : 4 };
}
