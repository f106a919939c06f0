import { isIP } from "node:net";
import { AgentError, splitHostPort } from "../base/index.ts";

/** Where to listen, and from which file the other servers come. */
export interface DnsPlace {
  readonly hosts: readonly string[];
  readonly port: number;
}

export interface PlaceWords {
  /** `DNS_PROXY_ADDR`; empty for the default. */
  readonly address: string;
  readonly servers: readonly string[];
}

export const USUAL_ADDRESS = "localhost:15053";

/**
 * `localhost` means 127.0.0.1 when a server of resolv.conf has an IPv4 address, and ::1 when one has an IPv6 address.
 * Throws CONFIG_INVALID. Source: istio/istio pkg/dns/client/dns.go (NewLocalDNSServer).
 */
export function placeOf({ address, servers }: PlaceWords): DnsPlace {
  const given = address === "" ? USUAL_ADDRESS : address;
  const split = splitHostPort(given);
  const port = typeof split === "string" || !/^\d+$/.test(split.port) ? Number.NaN : Number(split.port);
  if (typeof split === "string" || !(port <= 0xffff)) {
    const why = typeof split === "string" ? split : `port "${split.port}" is not a number up to 65535`;
    throw new AgentError("CONFIG_INVALID", `dns address must be a valid host:port: ${why}`, {
      hint: `Set DNS_PROXY_ADDR to host:port, such as ${USUAL_ADDRESS}`,
    });
  }
  if (split.host !== "localhost") return { hosts: [split.host === "" ? "::" : split.host], port };
  const families = new Set(servers.map((server) => isIP(server)));
  const hosts = [...(families.has(4) ? ["127.0.0.1"] : []), ...(families.has(6) ? ["::1"] : [])];
  return { hosts: hosts.length === 0 ? ["127.0.0.1"] : hosts, port };
}
