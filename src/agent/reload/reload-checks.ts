import { AgentError, tryTcp } from "../../base/index.ts";
import { validateConfig } from "../../envoy/index.ts";
import type { SpawnOptions } from "../../envoy/supervisor/index.ts";
import type { JsonValue } from "../../istio/mesh/index.ts";

// An epoch that refuses its configuration or finds a port taken does not only end: it takes the one that serves with
// it. So everything that can be known before it is started is found out before.

/** Has Envoy itself read the configuration. Rejects with CONFIG_INVALID and Envoy's complaint, or as `validateConfig`. */
export async function refuseInvalid(spawn: SpawnOptions, stop: AbortSignal): Promise<void> {
  const { isValid, output } = await validateConfig(spawn, stop);
  if (isValid) return;
  const complaint = output.trim().split("\n").at(-1) ?? "";
  throw new AgentError("CONFIG_INVALID", `Envoy refuses the configuration: ${complaint}`);
}

/** Without the admin at its place the agent could neither drain nor watch the next Envoy. Throws CONFIG_INVALID. */
export function refuseOtherAdmin(served: JsonValue, next: JsonValue): void {
  const [before, after] = [served, next].map((document) => JSON.stringify((document as Bootstrap).admin?.address));
  if (before === after) return;
  throw new AgentError("CONFIG_INVALID", "Cannot change the address of Envoy's admin while the agent runs", {
    hint: "Restart the agent",
  });
}

interface Address {
  readonly address: string;
  readonly port: number;
}

/** Tries the static addresses that only the next bootstrap listens on. Rejects with ADDRESS_IN_USE or ADDRESS_UNUSABLE. */
export async function refuseTakenPorts(served: JsonValue, next: JsonValue): Promise<void> {
  const known = new Set(listenAddresses(served).map(keyOf));
  const added = listenAddresses(next).filter((address) => !known.has(keyOf(address)));
  const twice = added.find((address, at) => added.slice(0, at).some((earlier) => keyOf(earlier) === keyOf(address)));
  if (twice !== undefined) {
    throw new AgentError("ADDRESS_IN_USE", `Cannot listen on ${keyOf(twice)}: the bootstrap has it twice`);
  }
  for (const { address, port } of added) await tryTcp(address, port);
}

function keyOf({ address, port }: Address): string {
  return `${address}:${port}`;
}

/** Of Envoy's bootstrap, as far as it is looked at; what has another shape was refused by Envoy before. */
interface Bootstrap {
  readonly admin?: { readonly address?: EnvoyAddress };
  readonly static_resources?: { readonly listeners?: readonly { readonly address?: EnvoyAddress }[] };
}

interface EnvoyAddress {
  readonly socket_address?: { readonly address?: string; readonly port_value?: number; readonly protocol?: string };
}

function listenAddresses(document: JsonValue): Address[] {
  const { admin, static_resources } = document as Bootstrap;
  const all = [admin?.address, ...(static_resources?.listeners ?? []).map(({ address }) => address)];
  return all.flatMap((one) => {
    const { address, port_value: port, protocol = "TCP" } = one?.socket_address ?? {};
    return address === undefined || port === undefined || port === 0 || protocol !== "TCP" ? [] : [{ address, port }];
  });
}
