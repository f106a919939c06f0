import { type EgressProxy, Secret } from "../base/index.ts";
import type { Problem } from "./problem.ts";
import type { Environment } from "./read-settings.ts";

/**
 * The proxy of `HTTPS_PROXY` (or in lower case) for the connections to the CA, to istiod and to registries. As the reference takes it,
 * whatever the scheme says (`https`, `socks5` or none): CONNECT in the clear, and `defaultPort` where none is named. One
 * without a host is a warning. Source: golang.org/x/net/http/httpproxy, grpc-go internal/resolver/delegatingresolver.
 */
export function readEgressProxy(
  env: Environment,
  warnings: Problem[],
  defaultPort: string = GRPC_PORT,
): EgressProxy | undefined {
  const name = env.HTTPS_PROXY ? "HTTPS_PROXY" : "https_proxy";
  const text = env[name] ?? "";
  if (text === "") return undefined;
  const proxy = parseProxy(text, defaultPort);
  if (proxy === undefined) {
    const message = "is not used: it does not name a proxy"; // the value may hold a password
    warnings.push({ name, origin: { source: name }, message, wanted: "http://host:port" });
    return undefined;
  }
  return { ...proxy, except: (env.NO_PROXY || env.no_proxy || "").split(",").filter((entry) => entry.trim() !== "") };
}

/** Scheme, user info, host (an IPv6 address in brackets) and port of a URL; what follows does not count. */
const PROXY = /^(?:[a-z][a-z0-9+.-]*:\/\/)?(?:([^/?#]*)@)?(\[[^\]]+\]|[^:/?#@[\]\s]+)(?::(?!\/\/)(\d*))?(?:[/?#].*)?$/i;
const GRPC_PORT = "443"; // also for http://

function parseProxy(text: string, defaultPort: string): Omit<EgressProxy, "except"> | undefined {
  const [, userInfo, host, port] = PROXY.exec(text) ?? [];
  if (host === undefined || Number(port || defaultPort) > 65_535) return undefined;
  try {
    const credentials = userInfo === undefined ? undefined : new Secret(credentialsOf(userInfo));
    return { address: `${host}:${port || defaultPort}`, credentials };
  } catch {
    return undefined; // "%" without two digits
  }
}

/** `user:password`, with a colon also where there is no password. */
function credentialsOf(userInfo: string): string {
  const [user = "", ...password] = userInfo.split(":");
  return `${decodeURIComponent(user)}:${decodeURIComponent(password.join(":"))}`;
}
