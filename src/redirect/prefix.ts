import { isIP } from "node:net";
import type { Family } from "./capture.ts";

/** A range of addresses. */
export interface Prefix {
  readonly family: Family;
  /** As Go prints it; bits behind the prefix stay. */
  readonly text: string;
  readonly address: string;
  readonly bits: number;
  readonly isLoopback: boolean;
}

/** Reads CIDR notation; undefined for anything else. Source: Go's net/netip ParsePrefix. */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.lastIndexOf("/");
  const [address, bits] = [text.slice(0, slash), text.slice(slash + 1)];
  const version = slash < 0 || address.includes("%") ? 0 : isIP(address);
  if (version === 0 || !/^(?:0|[1-9]\d{0,2})$/.test(bits) || Number(bits) > (version === 4 ? 32 : 128))
    return undefined;
  const shown = version === 4 ? address : canonicalIpv6(address);
  return {
    family: version === 4 ? "IPv4" : "IPv6",
    text: `${shown}/${bits}`,
    address: shown,
    bits: Number(bits),
    isLoopback: isLoopbackAddress(shown),
  };
}

/** `::1`, 127.0.0.0/8, and that as IPv6 writes it. */
export function isLoopbackAddress(address: string): boolean {
  return address === "::1" || /^(?:::ffff:)?127\./.test(address);
}

/** The shortest form, RFC 5952; an IPv4 address in IPv6 keeps its dots. */
export function canonicalIpv6(address: string): string {
  const short = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const [, high = "", low = ""] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(short) ?? [];
  if (low === "") return short;
  const bytes = [high, low].flatMap((part) => [Number.parseInt(part, 16) >> 8, Number.parseInt(part, 16) & 255]);
  return `::ffff:${bytes.join(".")}`;
}
