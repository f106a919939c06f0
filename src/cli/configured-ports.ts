import { parse } from "yaml";
import type { Host } from "../host/index.ts";

/** The agent's ports where they were moved: Istio's own list would make the drain hook of such a pod fail. */
export function configuredPorts(env: Host["env"]): number[] {
  const ports = [Number(env.ENVOY_STATUS_PORT)];
  try {
    const config: unknown = parse(env.PROXY_CONFIG ?? "{}");
    if (typeof config === "object" && config !== null) {
      if ("proxyAdminPort" in config) ports.push(Number(config.proxyAdminPort));
      if ("statusPort" in config) ports.push(Number(config.statusPort));
    }
  } catch {
    // an unreadable PROXY_CONFIG allows nothing; the proxy command is the one that reports it
  }
  return ports;
}
