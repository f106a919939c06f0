import { isIP } from "node:net";
import type { NameInfo, NameTable } from "./name-table.ts";
import { isName, splitLabels } from "./names.ts";

/** The addresses of one name, as bytes of a record. */
interface Addresses {
  readonly v4: readonly Buffer[];
  readonly v6: readonly Buffer[];
}

/** What is known of a name: its addresses, and for a name with a search domain the shorter one that has them. */
export interface Found extends Addresses {
  readonly alias: string | undefined;
}

export interface Place {
  /** Of the proxy: names of its own namespace have a form without one. */
  readonly namespace: string;
  /** DNS domain of the node, such as `shop.svc.cluster.local`. */
  readonly domain: string;
  /** The search list of resolv.conf; only its first domain counts, as clients try that one first. */
  readonly search: readonly string[];
}

/** The names of the mesh, ready for questions. Built once for each name table. */
export interface LookupTable {
  /** Undefined for a name that the mesh does not know. `name` as in `Query.name`. */
  find(name: string): Found | undefined;
  /** Names with addresses, for the report. */
  readonly size: number;
}

/**
 * Derives the names under which a client may ask. Where two hosts claim a name, Kubernetes' wins, then the first in
 * alphabetical order; a real host wins over a name with a search domain.
 * Source: istio/istio pkg/dns/client/dns.go (UpdateLookupTable, buildDNSAnswers).
 */
export function buildLookupTable(table: NameTable, place: Place): LookupTable {
  const hosts = new Map<string, Found>();
  for (const [host, info] of [...table].sort(byPrecedence)) {
    const addresses = parseAddresses(info.ips);
    if (addresses === undefined) continue;
    const found = { ...addresses, alias: undefined };
    for (const name of namesOf(host, info, place)) {
      if (!hosts.has(name) && isName(name)) hosts.set(name, found);
    }
  }
  const suffix = searchSuffix(place.search);
  /** Without the search domain that a client appended to a whole name; undefined when it did not. */
  const shorter = (name: string): string | undefined => {
    const short = suffix !== "" && name.endsWith(`.${suffix}`) ? name.slice(0, -suffix.length) : "";
    return short === "" || `.${short}`.endsWith(`.${suffix}`) ? undefined : short;
  };
  return { size: hosts.size, find: (name) => find(name, hosts, shorter) };
}

/**
 * The name itself, else without the search domain, else the wildcard that fits best. No resolver accepts a record that a
 * wildcard owns, so the addresses of one stand under the name that was asked for.
 */
function find(
  name: string,
  hosts: ReadonlyMap<string, Found>,
  shorter: (name: string) => string | undefined,
): Found | undefined {
  const own = hosts.get(name);
  if (own !== undefined) return own;
  const short = shorter(name);
  const behind = short === undefined ? undefined : hosts.get(short);
  if (behind !== undefined) return { ...behind, alias: short };
  const labels = splitLabels(name);
  for (let from = 1; from < labels.length; from++) {
    const rest = `${labels.slice(from).join(".")}.`;
    const shortRest = shorter(rest);
    const found = hosts.get(`*.${rest}`) ?? (shortRest === undefined ? undefined : hosts.get(`*.${shortRest}`));
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The name table with all names that are derived from it. Source: istio/istio pkg/dns/client/dns.go (NameTable). */
export function withDerivedNames(table: NameTable, place: Place): NameTable {
  const names = new Map<string, NameInfo>(table);
  for (const [host, info] of [...table].sort(byPrecedence)) {
    const ips = ([4, 6] as const).flatMap((family) => info.ips.filter((ip) => isIP(ip) === family));
    if (ips.length === 0) continue;
    for (const name of namesOf(host, info, place)) if (!names.has(name)) names.set(name, { ...NO_INFO, ips });
  }
  return names;
}

const NO_INFO: NameInfo = { ips: [], registry: "Kubernetes", shortname: "", namespace: "", altHosts: [] };

function byPrecedence([a, aInfo]: [string, NameInfo], [b, bInfo]: [string, NameInfo]): number {
  const rank = ({ registry }: NameInfo): number => (registry === "Kubernetes" ? 0 : 1);
  return rank(aInfo) - rank(bInfo) || (a < b ? -1 : 1);
}

/** All absolute, in lower case. */
function namesOf(host: string, info: NameInfo, { namespace, domain }: Place): string[] {
  if (info.registry !== "Kubernetes") return [`${host.replace(/\.$/, "")}.`.toLowerCase()];
  if (host.endsWith(".")) return [];
  const names = [`${host}.`];
  const cluster = clusterDomain(domain, namespace);
  if (cluster !== "" && `.${host}`.endsWith(`.${cluster}`)) {
    const short = `${info.shortname}.${info.namespace}.`;
    names.push(short, `${short}${cluster.split(".")[0]}.`, ...info.altHosts.map((alt) => `${alt}.`));
    if (info.namespace === namespace) names.push(`${info.shortname}.`);
  }
  return names.map((name) => name.toLowerCase());
}

/** `shop.svc.cluster.local` in namespace `shop` → `svc.cluster.local`. */
function clusterDomain(domain: string, namespace: string): string {
  const [first, ...rest] = domain.split(".");
  return first === namespace ? rest.join(".") : domain;
}

/** Absolute, in lower case; empty for none. */
function searchSuffix([first = ""]: readonly string[]): string {
  const plain = first.replace(/\.+$/, "").toLowerCase();
  return plain === "" ? "" : `${plain}.`;
}

/** Undefined when none of them is an address; a CIDR range is none. */
function parseAddresses(ips: readonly string[]): Addresses | undefined {
  const v4 = ips.filter((ip) => isIP(ip) === 4).map((ip) => Buffer.from(ip.split(".").map(Number)));
  const v6 = ips.filter((ip) => isIP(ip) === 6 && !ip.includes("%")).map(parseIpv6);
  return v4.length + v6.length === 0 ? undefined : { v4, v6 };
}

function parseIpv6(ip: string): Buffer {
  const plain = ip.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_all, ...bytes: string[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = bytes.slice(0, 4).map(Number);
    return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  });
  const [head = [], tail = []] = plain.split("::").map((half) => half.split(":").filter((group) => group !== ""));
  const groups = [...head, ...Array<string>(8 - head.length - tail.length).fill("0"), ...tail];
  const bytes = Buffer.alloc(16);
  for (const [at, group] of groups.entries()) bytes.writeUInt16BE(Number.parseInt(group, 16), at * 2);
  return bytes;
}
