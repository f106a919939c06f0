import { BlockList, isIP } from "node:net";

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

/** Whether `host` or `host:port` is this machine, so that nobody else hears what is said in the clear. */
export function isLoopback(place: string): boolean {
  const host = place.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
  if (host.toLowerCase() === "localhost") return true;
  const kind = isIP(host);
  return kind !== 0 && LOOPBACK.check(host, kind === 4 ? "ipv4" : "ipv6");
}
