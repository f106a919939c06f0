import { isIP } from "node:net";

export type IpMode = "IPv4" | "IPv6" | "Dual";

/** An address that an interface of this machine carries. */
export interface InterfaceAddress {
  readonly interface: string;
  readonly address: string;
}

/**
 * The addresses of the proxy: `INSTANCE_IP` first, then those of the interfaces, without the excluded interfaces.
 * With no interface address at all it is loopback. Source: istio/istio pilot/cmd/pilot-agent/app (initProxy),
 * pkg/util/net/ip.go.
 */
export function proxyAddresses(
  instanceIp: string,
  found: readonly InterfaceAddress[],
  excluded: readonly string[],
): readonly string[] {
  const own = isAddress(instanceIp) ? canonicalIp(instanceIp) : undefined;
  const all: readonly InterfaceAddress[] =
    found.length > 0
      ? found
      : [
          { interface: "lo", address: "127.0.0.1" },
          { interface: "lo", address: "::1" },
        ];
  const skipped = new Set(found.filter((one) => excluded.includes(one.interface)).map((one) => one.address));
  const rest = all.map((one) => one.address).filter((address) => address !== own && !skipped.has(address));
  return own === undefined ? rest : [own, ...rest];
}

const EXCLUDE_ANNOTATION = "traffic.sidecar.istio.io/excludeInterfaces";

/** Interfaces whose addresses are not the proxy's, as the pod's annotation names them. */
export function excludedInterfaces(podAnnotations: ReadonlyMap<string, string> | undefined): readonly string[] {
  return podAnnotations?.get(EXCLUDE_ANNOTATION)?.split(",") ?? [];
}

/** A zone belongs to IPv6 only, and has a name. Source: Go net/netip (ParseAddr). */
function isAddress(text: string): boolean {
  const [, plain = "", zone] = /^([^%]*)(%.*)?$/s.exec(text) ?? [];
  return zone === undefined ? isIP(plain) !== 0 : isIP(plain) === 6 && zone !== "%";
}

/** Whether an interface address counts: not loopback, not link-local. */
export function isUsableAddress(address: string): boolean {
  const plain = unmapped(address);
  if (isIP(plain) === 4) return !/^(127\.|169\.254\.|224\.0\.0\.)/.test(plain);
  return plain !== "::1" && !/^(fe[89ab]|ff[0-9a-f]2)/i.test(plain);
}

/** `::ffff:1.2.3.4` is the IPv4 address it wraps. */
export function unmapped(address: string): string {
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;
}

export function isIpv6(address: string): boolean {
  return isIP(address.replace(/%.*$/, "")) === 6;
}

/** No address at all counts as IPv4. Source: istio/istio pkg/model/proxy.go (DiscoverIPMode). */
export function ipModeOf(addresses: readonly string[]): IpMode {
  if (addresses.every((address) => !isIpv6(address))) return "IPv4";
  return addresses.every((address) => isIpv6(address) || isIP(address) === 0) ? "IPv6" : "Dual";
}

/** The usual short text of an address: lower case, longest run of zeros as `::` (RFC 5952). */
export function canonicalIp(address: string): string {
  if (!isIpv6(address)) return address;
  const [plain = "", zone] = address.split("%");
  const host = new URL(`http://[${plain}]`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]+):([0-9a-f]+)$/.exec(host);
  const text = mapped === null ? host : `::ffff:${dotted(mapped[1] ?? "", mapped[2] ?? "")}`;
  return zone === undefined ? text : `${text}%${zone}`;
}

function dotted(high: string, low: string): string {
  const [a, b] = [Number.parseInt(high, 16), Number.parseInt(low, 16)];
  return [a >> 8, a & 255, b >> 8, b & 255].join(".");
}
