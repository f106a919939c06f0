import { parse } from "yaml";
import type { Host } from "../host/index.ts";

/** The ports of agent and Envoy where they were moved; what is no number is left out. */
export interface ConfiguredPorts {
  /** Of Envoy's `/healthz/ready`. */
  readonly health?: number;
  readonly admin?: number;
  readonly status?: number;
}

/** By the variables of the container, which the commands of its hooks have as well. */
export function configuredPorts({ ENVOY_STATUS_PORT, PROXY_CONFIG }: Host["env"]): ConfiguredPorts {
  const config = proxyConfig(PROXY_CONFIG);
  const found = { health: ENVOY_STATUS_PORT, admin: config.proxyAdminPort, status: config.statusPort };
  return Object.fromEntries(
    Object.entries(found).flatMap(([use, value]) => (Number(value) > 0 ? [[use, Number(value)]] : [])),
  );
}

function proxyConfig(text = "{}"): Readonly<Record<string, unknown>> {
  try {
    const config: unknown = parse(text);
    return typeof config === "object" && config !== null ? { ...config } : {};
  } catch {
    return {}; // an unreadable PROXY_CONFIG moves nothing; the proxy command is the one that reports it
  }
}
