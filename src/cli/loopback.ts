import { splitHostPort, systemCode } from "../base/index.ts";

/** By which a program on this machine may be reached; one of them may be missing. */
const BOTH = ["127.0.0.1", "::1"] as const;

/** The hosts at which something can be reached that listens at this address; both without an address, and for `localhost`. */
export function loopbackHosts(address: string | undefined): readonly string[] {
  const split = address === undefined ? "" : splitHostPort(address);
  if (typeof split === "string" || split.host === "localhost") return BOTH;
  if (split.host === "::") return BOTH.toReversed(); // it takes IPv4, too, but another program may have that for itself
  return [split.host === "0.0.0.0" ? "127.0.0.1" : split.host];
}

/** Codes of a connection that failed before a request was sent. */
const NOBODY_THERE: readonly (string | undefined)[] = [
  "ECONNREFUSED",
  "EADDRNOTAVAIL",
  "ENETUNREACH",
  "EHOSTUNREACH",
  "EAFNOSUPPORT",
];

/** Tries one host after the other until a connection succeeds. Rejects with the first failure when none does. */
export async function onFirstHost<T>(hosts: readonly string[], attempt: (host: string) => Promise<T>): Promise<T> {
  let first: unknown;
  for (const host of hosts) {
    try {
      return await attempt(host);
    } catch (error) {
      if (!NOBODY_THERE.includes(systemCode(error))) throw error;
      first ??= error;
    }
  }
  throw first;
}
