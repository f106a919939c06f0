import { AgentError, isProxied, Secret } from "../base/index.ts";

import type { KubeServer } from "./kubeconfig.ts";

/** What stands between this machine and the API server. */
export interface KubeProxy {
  readonly host: string;
  readonly port: number;
  /** `user:password`. */
  readonly credentials: Secret | undefined;
  readonly isTls: boolean;
  readonly isSocks: boolean;
}

const PORTS: Readonly<Record<string, number>> = { "http:": 80, "https:": 443, "socks5:": 1080, "socks5h:": 1080 };

/**
 * The kubeconfig's `proxy-url`, or what HTTPS_PROXY, HTTP_PROXY and NO_PROXY say (upper case first); undefined for a direct
 * connection. Throws KUBECONFIG_INVALID for one that is no http, https or socks5 URL. Source: client-go
 * tools/clientcmd, golang.org/x/net/http/httpproxy.
 */
export function chooseProxy(
  { url, proxyUrl }: Pick<KubeServer, "url" | "proxyUrl">,
  env: Readonly<Record<string, string | undefined>>,
): KubeProxy | undefined {
  if (proxyUrl !== undefined) return parseProxy(proxyUrl, "the kubeconfig's proxy-url");
  const { protocol, hostname, port } = new URL(url);
  const name = protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY";
  const text = env[name] || env[name.toLowerCase()] || "";
  const except = (env.NO_PROXY || env.no_proxy || "").split(",").filter((entry) => entry.trim() !== "");
  const address = `${hostname}:${port || (protocol === "https:" ? 443 : 80)}`;
  if (text === "" || !isProxied(address, except)) return undefined;
  return parseProxy(text.includes("://") ? text : `http://${text}`, name);
}

function parseProxy(text: string, from: string): KubeProxy {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const port = PORTS[url?.protocol ?? ""];
  if (url === undefined || port === undefined || url.hostname === "") {
    throw new AgentError(
      "KUBECONFIG_INVALID",
      `Cannot use ${from}: expected http://, https:// or socks5:// and a host`,
    );
  }
  const { username, password } = url;
  const user = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return {
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: Number(url.port || port),
    credentials: username === "" ? undefined : new Secret(user),
    isTls: url.protocol === "https:",
    isSocks: url.protocol.startsWith("socks5"),
  };
}
