import { AgentError, splitHostPort } from "../base/index.ts";
import type { JsonObject } from "../istio/mesh/index.ts";

/**
 * `host:port` as Envoy's `{address, port_value}`; `name` is what the error calls it. A host `$(HOST_IP)` becomes
 * `hostIp`. Throws CONFIG_INVALID. Source: istio/istio pkg/bootstrap/option/convert.go (addressConverter).
 */
export function socketAddress(name: string, address: string, hostIp: string): JsonObject {
  const split = splitHostPort(address);
  if (typeof split === "string") {
    throw new AgentError("CONFIG_INVALID", `unable to parse ${name} address "${address}": ${split}`);
  }
  const host = split.host === "$(HOST_IP)" && hostIp !== "" ? hostIp : split.host;
  const port = /^\d+$/.test(split.port) ? Number(split.port) : split.port;
  return { address: host, port_value: port };
}
