import { isIP } from "node:net";

/** What `/etc/resolv.conf` says, in the parts that Go's resolver reads. */
export interface ResolvConf {
  /** Addresses, in order; what is none is passed over. */
  readonly servers: readonly string[];
  /** Without dots at the end. */
  readonly search: readonly string[];
  /** A name with fewer dots is first tried with the search list. */
  readonly ndots: number;
  /** For one try with one server. */
  readonly timeoutMs: number;
  readonly attempts: number;
  /** Ask for IPv4 and IPv6 one after the other. */
  readonly isSingleRequest: boolean;
}

const MOST_SERVERS = 3; // resolv.conf(5), MAXNS
const LONGEST_NAME = 253; // RFC 1035 section 2.3.4, without the dot at the end

/** Source: golang.org/src/net/dnsconfig_unix.go, resolv.conf(5). `hostName` gives the search list where the file has none. */
export function parseResolvConf(text: string, hostName: string): ResolvConf {
  const servers: string[] = [];
  let search = hostName.includes(".") ? [hostName.slice(hostName.indexOf(".") + 1)] : [];
  let options: string[] = [];
  for (const line of text.split("\n")) {
    const [word = "", ...values] = /^[;#]/.test(line) ? [] : line.trim().split(/\s+/);
    if (word === "nameserver") servers.push(...values.slice(0, 1).filter((value) => isIP(value) !== 0));
    else if (word === "domain" && values[0] !== undefined) search = [values[0]];
    else if (word === "search") search = values;
    else if (word === "options") options = [...options, ...values];
  }
  const number = (name: string, usual: number, least: number, most: number): number => {
    const found = options.findLast((option) => option.startsWith(`${name}:`))?.slice(name.length + 1) ?? "";
    return /^\d+$/.test(found) ? Math.min(Math.max(Number(found), least), most) : usual;
  };
  return {
    servers: servers.length === 0 ? ["127.0.0.1", "::1"] : servers.slice(0, MOST_SERVERS),
    search: search.map(withoutFinalDot).filter((suffix) => suffix !== ""),
    ndots: number("ndots", 1, 0, 15),
    timeoutMs: number("timeout", 5, 1, 60) * 1_000,
    attempts: number("attempts", 2, 1, 10),
    isSingleRequest: options.includes("single-request") || options.includes("single-request-reopen"),
  };
}

/** The names to ask for, best first and without dots at the end; an absolute `name` only as it is. */
export function searchNames(name: string, { search, ndots }: Pick<ResolvConf, "search" | "ndots">): string[] {
  const own = withoutFinalDot(name);
  const longer = own === name ? search.map((suffix) => `${name}.${suffix}`) : [];
  const isFirst = own !== name || name.split(".").length > ndots;
  const names = isFirst ? [own, ...longer] : [...longer, own];
  return names.filter((one) => one !== "" && one.length <= LONGEST_NAME);
}

/** The addresses that `/etc/hosts` has for a name, with or without a dot at its end, in the file's order. */
export function findInHosts(text: string, name: string): string[] {
  const wanted = withoutFinalDot(name).toLowerCase();
  return text.split("\n").flatMap((line) => {
    const [address = "", ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
    return names.some((one) => withoutFinalDot(one).toLowerCase() === wanted) ? [address] : [];
  });
}

/** An absolute name is written with a dot at its end; in certificates and `/etc/hosts` it stands without. */
export function withoutFinalDot(name: string): string {
  return name.replace(/\.$/, "");
}

/** What resolv.conf says as it is written there: where to pass questions on, and the search list. */
export interface Upstreams {
  /** In the file's order, all of them, as they are written there. */
  readonly servers: readonly string[];
  readonly search: readonly string[];
}

/**
 * Another reading of the file than that of a resolver (`parseResolvConf`): no server is left out, none is made
 * up, and the last of `domain` and `search` counts. Source: the library that istio/istio pkg/dns/client reads it with,
 * miekg/dns clientconfig.go.
 */
export function readUpstreams(text: string): Upstreams {
  const servers: string[] = [];
  let search: string[] = [];
  for (const line of text.split("\n")) {
    const [word = "", ...values] = /^[;#]/.test(line) ? [] : line.trim().split(/\s+/);
    if (word === "nameserver") servers.push(...values.slice(0, 1));
    else if (word === "domain") search = values.slice(0, 1);
    else if (word === "search") search = values;
  }
  return { servers, search };
}
