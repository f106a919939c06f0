import { isIP, isIPv6 } from "node:net";
import type { Destination } from "../exchange/index.ts";

/** What decides where the application is. */
export interface Addressing {
  /** `INSTANCE_IP`; empty for this machine. */
  readonly instanceIp: string;
  /** All addresses of the proxy. */
  readonly addresses: readonly string[];
  /** `REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION`. */
  readonly isLocalhost: boolean;
}

/** Source of the addresses: istio/istio pilot/cmd/pilot-agent/status/server.go (`UpstreamLocalAddressIPv4`). */
export function destinationOf({ instanceIp, addresses, isLocalhost }: Addressing): Destination {
  const isSix = isIPv6(instanceIp) ? !isLinkLocal(instanceIp) : addresses.length > 0 && addresses.every(isIPv6);
  const host = isLocalhost || instanceIp === "" ? "localhost" : instanceIp;
  const isNamed = host === "localhost" || isIP(host) === 0;
  return {
    host,
    address: host !== "localhost" || !isNamed ? host : isSix ? "::1" : "127.0.0.1",
    source: process.platform !== "linux" ? undefined : isSix ? "::6" : "127.0.0.6",
  };
}

function isLinkLocal(address: string): boolean {
  return /^fe[89ab]/i.test(address);
}
