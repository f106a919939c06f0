import { type EgressProxy, Secret } from "../base/index.ts";
import type { Problem } from "./problem.ts";
import type { Environment } from "./read-settings.ts";

/**
 * The proxy of `HTTPS_PROXY` (or in lower case) for the connections to the CA and to istiod, as Go reads it: without a
 * scheme it is HTTP. One that cannot be used is a warning. Source: golang.org/x/net/http/httpproxy.
 */
export function readEgressProxy(env: Environment, warnings: Problem[]): EgressProxy | undefined {
  const name = env.HTTPS_PROXY ? "HTTPS_PROXY" : "https_proxy";
  const text = env[name] ?? "";
  if (text === "") return undefined;
  const proxy = parseProxy(text.includes("://") ? text : `http://${text}`);
  if (proxy === undefined) {
    const message = "is not used: only http://host:port is, for CONNECT"; // the value may hold a password
    warnings.push({ name, origin: { source: name }, message, wanted: "http://host:port" });
    return undefined;
  }
  return { ...proxy, except: (env.NO_PROXY || env.no_proxy || "").split(",").filter((entry) => entry.trim() !== "") };
}

function parseProxy(text: string): Omit<EgressProxy, "except"> | undefined {
  try {
    const { protocol, hostname, port, username, password } = new URL(text);
    if (protocol !== "http:" || hostname === "") return undefined;
    const credentials = [username, password].filter((part) => part !== "").map(decodeURIComponent);
    return {
      address: `${hostname}:${port || "80"}`,
      credentials: credentials.length === 0 ? undefined : new Secret(credentials.join(":")),
    };
  } catch {
    return undefined; // no URL: the caller says so
  }
}
