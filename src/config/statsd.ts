import { lookupHost, splitHostPort } from "../base/index.ts";

/** All addresses of a name, IPv4 and IPv6. */
export type Resolve = (host: string) => Promise<readonly string[]>;

const LOOKUP_LIMIT_MS = 15_000;

/**
 * Turns the host of a statsd address into an IP: the first IPv4 address, else the last IPv6 one. Resolves with the
 * reason when that is impossible. Source: istio/istio pilot/cmd/pilot-agent/config/config.go, pkg/util/network.
 */
export async function resolveStatsd(
  address: string,
  resolve: Resolve,
): Promise<{ readonly address: string } | { readonly trouble: string }> {
  const split = splitHostPort(address);
  if (typeof split === "string") return { trouble: split };
  const port = Number(split.port);
  if (split.host === "" || !/^\d+$/.test(split.port) || port > 65_535) {
    return { trouble: `"${address}" is not host:port` };
  }
  try {
    const found = (await within(LOOKUP_LIMIT_MS, resolve(split.host))).map((one) =>
      one.replace(/^::ffff:(?=.*\.)/i, ""),
    );
    const ip = found.find((one) => !one.includes(":")) ?? found.at(-1);
    if (ip === undefined) return { trouble: `"${split.host}" has no address` };
    return { address: ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}` };
  } catch (error) {
    return { trouble: error instanceof Error ? error.message : String(error) };
  }
}

async function within<T>(limitMs: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${limitMs / 1_000} s`)), limitMs);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
  }
}

/** As every name is looked up. */
export async function lookupAll(host: string, stop?: AbortSignal): Promise<readonly string[]> {
  return (await lookupHost(host, stop && { signal: stop })).map(({ address }) => address);
}
