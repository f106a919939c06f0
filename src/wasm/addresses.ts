import { BlockList, isIP } from "node:net";
import type { Logger } from "../base/index.ts";

/** Where clouds have what only the machine may ask for, also by way of NAT64, and what is no host. Source: istio/istio pkg/wasm, the dialer of fetches. */
const NEVER = [
  "169.254.0.0/16",
  "224.0.0.0/24",
  "100.100.100.200/32",
  "fe80::/10",
  "ff02::/16",
  "fd00:ec2::/32",
  "64:ff9b::a9fe:0/112",
];
const INSIDE = [
  "0.0.0.0/8",
  "::/128",
  "10.0.0.0/8",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "::1/128",
  "fc00::/7",
  "fe80::/10",
];
const METADATA_HOST = "metadata.google.internal";

/** Judges the addresses that modules are fetched from: a text says why one is refused. Entries of `blocked` that are no CIDR are warned of and skipped. */
export function fetchPermits(blocked: readonly string[], log: Logger): (address: string) => string | undefined {
  const never = listOf(NEVER);
  for (const cidr of blocked) {
    if (!addTo(never, cidr))
      log.warn("an entry of BLOCKED_CIDRS_IN_WASM_FETCH is no CIDR and is skipped", { entry: cidr });
  }
  return (address) =>
    isIn(never, address) ? `connection to ${address} is blocked: Wasm modules are not fetched from there` : undefined;
}

/** Why a token service that a registry names is not asked; undefined when it may be. Source: istio/istio pkg/wasm, "rejected unsafe bearer realm". */
export function refuseRealm(realm: string): string | undefined {
  const refused = (why: string): string => `rejected unsafe bearer realm: ${JSON.stringify(realm)} ${why}`;
  if (!URL.canParse(realm)) return refused("is no URL");
  const { protocol, hostname } = new URL(realm);
  const host = hostname
    .replace(/^\[(.*)\]$/, "$1")
    .replace(/\.$/, "")
    .toLowerCase();
  if (protocol !== "https:" && protocol !== "http:") return refused("is neither http nor https");
  if (host === "" || host === METADATA_HOST || host === "localhost") return refused("names a host that is not asked");
  return isIn(listOf(INSIDE), host) ? refused("names a private address") : undefined;
}

/** On this machine or in a private network. */
export function isPrivate(registry: string): boolean {
  const host = registry
    .replace(/:\d+$/, "")
    .replace(/^\[(.*)\]$/, "$1")
    .toLowerCase();
  return host === "localhost" || host.endsWith(".localhost") || isIn(listOf(INSIDE), host);
}

function listOf(cidrs: readonly string[]): BlockList {
  const list = new BlockList();
  for (const cidr of cidrs) addTo(list, cidr);
  return list;
}

function addTo(list: BlockList, cidr: string): boolean {
  const [network = "", prefix = "", ...more] = cidr.split("/");
  const kind = isIP(network);
  if (kind === 0 || more.length > 0 || !/^\d{1,3}$/.test(prefix) || Number(prefix) > (kind === 4 ? 32 : 128))
    return false;
  list.addSubnet(network, Number(prefix), kind === 4 ? "ipv4" : "ipv6");
  return true;
}

/** An IPv4 address in IPv6's form counts as itself. */
function isIn(list: BlockList, address: string): boolean {
  const kind = isIP(address);
  return kind !== 0 && list.check(address, kind === 4 ? "ipv4" : "ipv6");
}
