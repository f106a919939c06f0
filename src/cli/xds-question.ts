import { AgentError } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import * as client from "../xds-client/index.ts";
import { readInput } from "./named-path.ts";
import { type Access, readAccess, type ServerFlags } from "./xds-server.ts";

/** What every command says that asks a server. */
export interface AskFlags extends ServerFlags {
  readonly types: readonly string[];
  readonly file: string | undefined;
  readonly name: readonly string[];
  readonly delta: boolean;
}

/** What is asked of whom. Rejects with USAGE, CONFIG_INVALID, FILE_UNREADABLE. */
export async function readQuestion(flags: AskFlags, host: Host, usual: readonly string[] = USUAL_TYPES) {
  const requests = flags.file === undefined ? undefined : await readFile(flags.file, flags.delta, host);
  const access = await readAccess(flags, host);
  refuseNodeFlags(flags, requests?.node !== undefined, access);
  return {
    server: access.server,
    question: {
      isDelta: flags.delta,
      node: requests?.node ?? nodeOf(access),
      wanted: wantedOf(flags, requests?.wanted ?? [], usual),
    },
  };
}

/** A node that somebody has described already is taken as it is. */
function refuseNodeFlags(flags: AskFlags, isInFile: boolean, { bootstrapNode }: Access): void {
  const given = (["node-id", "namespace"] as const).find((name) => flags[name] !== undefined);
  if (given !== undefined && isInFile) {
    throw new AgentError("USAGE", `Cannot use --${given}: the node stands in "${flags.file}" (--file)`, {
      hint: "Leave out one of them",
    });
  }
  if (flags.namespace !== undefined && bootstrapNode !== undefined) {
    throw new AgentError("USAGE", "Cannot use --namespace: the node is that of the running agent", {
      hint: "Give --node-id too, for a node of its own",
    });
  }
}

async function readFile(file: string, isDelta: boolean, host: Host) {
  const { text, source } = await readInput(file, "--file", host);
  return client.readRequests(text, source, isDelta);
}

function nodeOf({ bootstrapNode, words }: Access) {
  return bootstrapNode === undefined
    ? client.describeNode(words)
    : client.nodeFromJson(bootstrapNode as Parameters<typeof client.nodeFromJson>[0]);
}

const USUAL_TYPES = ["cds", "lds", "eds", "rds"];

function wantedOf(
  { types, name: names }: AskFlags,
  inFile: readonly client.Wanted[],
  usualTypes: readonly string[],
): readonly client.Wanted[] {
  const usual = inFile.length > 0 ? [] : usualTypes;
  const typeUrls = [...new Set((types.length === 0 ? usual : types).map(typeOf))];
  const known = new Set(inFile.map(({ typeUrl }) => typeUrl));
  const added = typeUrls.filter((typeUrl) => !known.has(typeUrl));
  const all = [...inFile, ...added.map((typeUrl) => ({ typeUrl, names: [] }))];
  if (names.length === 0) return all;
  if (all.length === 1) return all.map((one) => ({ ...one, names: [...one.names, ...names] }));
  throw new AgentError("USAGE", "Cannot use --name with several types: name one type");
}

function typeOf(word: string): string {
  const typeUrl = client.readType(word);
  if (typeUrl !== undefined) return typeUrl;
  const close = client.nearestType(word);
  throw new AgentError(
    "USAGE",
    `Unknown type "${word}", wanted one of ${client.KNOWN_NAMES.join(", ")}, or a type URL`,
    {
      ...(close === undefined ? {} : { hint: `Did you mean "${close}"?` }),
    },
  );
}
