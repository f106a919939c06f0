import type { ConfigDefaults } from "../../config/index.ts";
import { choosePorts } from "./choose-ports.ts";
import { type PlannedPort, takenNow } from "./port-map.ts";

/** Free ports in place of those that are taken now and that the user has not set, by what sets them. */
export async function freePortsFor(
  ports: readonly PlannedPort[],
  isSet: (from: string) => boolean,
): Promise<Readonly<Record<string, number>>> {
  const taken = (await takenNow(ports)).filter((from) => !isSet(from));
  const free = await choosePorts(taken.length);
  return Object.fromEntries(taken.flatMap((from, at) => (free[at] === undefined ? [] : [[from, free[at]]])));
}

/** Ports as defaults, by what sets them: a variable, or a field of ProxyConfig. A port may be words, to be shown. */
export function portDefaults(source: string, ports: Readonly<Record<string, number | string>>): ConfigDefaults {
  const isVariable = ([from]: readonly [string, number | string]): boolean => /^[A-Z_]+$/.test(from);
  const all = Object.entries(ports);
  return {
    source,
    variables: Object.fromEntries(all.filter(isVariable).map(([from, port]) => [from, String(port)])),
    proxyConfig: Object.fromEntries(all.filter((one) => !isVariable(one))),
  };
}
