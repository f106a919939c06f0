import { AgentError, describeError } from "../base/index.ts";

/** A message in Envoy's JSON: absent fields have their default. */
export type Message = Readonly<Record<string, unknown>>;

/** What Envoy's admin API answers to `/config_dump` or `/clusters?format=json`. */
export interface Dump {
  readonly configs?: readonly Message[];
  readonly cluster_statuses?: readonly Message[];
}

/** What of a dump is shown: the same rows as a table and as Envoy's own messages. */
export interface Shown {
  readonly table: Table;
  readonly messages: unknown;
}

export interface Table {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Blanks between two columns. */
  readonly gap: number;
}

/** Throws CONFIG_INVALID for a text that is no dump. `place` says where it is from. */
export function parseDump(text: string, place: string): Dump {
  const refused = (found: string): AgentError =>
    new AgentError("CONFIG_INVALID", `Cannot read ${place}: ${found}`, {
      hint: "Save one with: curl http://localhost:15000/config_dump > FILE, for endpoints /clusters?format=json",
    });
  let dump: unknown;
  try {
    dump = JSON.parse(text);
  } catch (error) {
    throw refused(`it is not JSON: ${describeError(error)}`);
  }
  const found: { -readonly [part in keyof Dump]: readonly Message[] } = {};
  for (const part of ["configs", "cluster_statuses"] as const) {
    const list = messageOf(dump)[part] ?? undefined; // protobuf's JSON has null for what is absent
    if (list === undefined) continue;
    if (!Array.isArray(list)) throw refused(`"${part}" is no list, wanted a dump of Envoy's admin API`);
    found[part] = list.map(messageOf);
  }
  if (found.configs === undefined && found.cluster_statuses === undefined) {
    throw refused('found neither "configs" nor "cluster_statuses", wanted a dump of Envoy\'s admin API');
  }
  return found;
}

/** The part of this name, such as `ClustersConfigDump`. Throws CONFIG_INVALID without one. */
export function partOf({ configs = [] }: Dump, name: string): Message {
  const found = configs.find((config) => textOf(messageOf(config)["@type"]).endsWith(`.${name}`));
  if (found !== undefined) return found;
  throw new AgentError("CONFIG_INVALID", `Cannot find ${name} in the dump of Envoy's configuration`);
}

/** The messages below these fields of each item, without their type and without those items that have none. */
export function messagesIn(list: unknown, ...fields: readonly string[]): Message[] {
  const found = listOf(list).map((item) => fields.reduce((at: unknown, field) => messageOf(at)[field], item));
  return found.filter(isMessage).map(({ "@type": _, ...message }) => message);
}

/** Throws CONFIG_INVALID where there is nothing to show, as istioctl fails then. */
export function refuseNone(messages: readonly Message[], what: string): void {
  if (messages.length === 0)
    throw new AgentError("CONFIG_INVALID", `No ${what} found in the dump of Envoy's configuration`);
}

// A dump may come from a file that anybody wrote: fields of another shape count as absent.

export function messageOf(value: unknown): Message {
  return isMessage(value) ? value : {};
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

export function numberOf(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

function isMessage(value: unknown): value is Message {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
