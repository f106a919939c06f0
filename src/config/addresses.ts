import { isIP } from "node:net";
import { splitHostPort } from "../base/index.ts";

const LABEL = /^[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?$/;

/**
 * Why `address` is no `host:port`, in the reference's words; undefined when it is one.
 * Source: istio/istio pkg/config/validation/agent/validation.go (ValidateProxyAddress).
 */
export function addressTrouble(address: string): string | undefined {
  const split = splitHostPort(address);
  if (typeof split === "string") return `unable to split "${address}": ${split}`;
  const { host, port } = split;
  if (!/^[+-]?\d+$/.test(port)) {
    return `port (${port}) is not a number: strconv.Atoi: parsing "${port}": invalid syntax`;
  }
  return portTrouble(Number(port)) ?? hostTrouble(host);
}

/** Why `port` is no TCP port; undefined when it is one. */
export function portTrouble(port: number): string | undefined {
  return port >= 1 && port <= 65_535 ? undefined : `port number ${port} must be in the range 1..65535`;
}

function hostTrouble(host: string): string | undefined {
  // names first: the first `isIP` of a text that is no IPv4 address costs Node 3 ms, for one large regular expression
  return isDnsName(host) || isIP(host) !== 0 ? undefined : `"${host}" is not a valid hostname or an IP address`;
}

function isDnsName(host: string): boolean {
  if (host === "" || host.length > 255) return false;
  const labels = host.split(".");
  if (labels.length > 1 && labels.at(-1) === "") labels.pop(); // the trailing dot of an absolute name
  if (/^\d+$/.test(labels.at(-1) ?? "")) return false;
  return labels.every((label) => label.length <= 63 && LABEL.test(label));
}
