import type { Variant } from "../proto/ads-variant.ts";
import { bytesOf, readFields, textOf } from "../proto/wire.ts";
import { FieldSplitter } from "./split-fields.ts";
import type { Turns } from "./turns.ts";

/** A discovery request as far as it matters here. Missing fields are empty, as in proto3. */
export interface Request {
  readonly typeUrl: string;
  readonly nonce: string;
  /** Empty in delta requests. */
  readonly version: string;
  readonly isRejection: boolean;
  /** Whole states: all names that are asked for; delta: those that are asked for from now on. */
  readonly names: readonly string[];
  /** Names that are not asked for any more; only in delta requests. */
  readonly unsubscribed: readonly string[];
  /** Versions of the resources that a client of a new delta stream has, by name. */
  readonly initial: ReadonlyMap<string, string>;
}

/** Read at once; takes a fraction of a millisecond: the first request of a delta stream may have thousands of versions. */
const SLICE_BYTES = 16 * 1_024;

/** Rejects on bytes that are not protobuf. */
export async function readRequest({ request: fields }: Variant, message: Uint8Array, turns: Turns): Promise<Request> {
  const found = { typeUrl: "", nonce: "", version: "", isRejection: false };
  const [names, unsubscribed]: [string[], string[]] = [[], []];
  const initial = new Map<string, string>();
  const splitter = new FieldSplitter(message.length, (field, value = new Uint8Array()) => {
    if (field === fields.typeUrl) found.typeUrl = UTF8.decode(value);
    else if (field === fields.nonce) found.nonce = UTF8.decode(value);
    else if (field === fields.versionInfo) found.version = UTF8.decode(value);
    else if (field === fields.names) names.push(UTF8.decode(value));
    else if (field === fields.unsubscribe) unsubscribed.push(UTF8.decode(value));
    else if (field === fields.initialVersions) addTo(initial, value);
    else if (field === fields.errorDetail) found.isRejection = true;
  });
  for (let at = 0; at < message.length; at += SLICE_BYTES) {
    splitter.write(message.subarray(at, at + SLICE_BYTES));
    if (turns.isOver) await turns.next();
  }
  splitter.end();
  return { ...found, names, unsubscribed, initial };
}

const UTF8 = new TextDecoder();

function addTo(versions: Map<string, string>, entry: Uint8Array): void {
  let [name, version] = ["", ""];
  readFields(entry, (field, reader) => {
    if (field === 1) name = reader.string();
    else if (field === 2) version = reader.string();
    else return false;
    return true;
  });
  versions.set(name, version);
}

/** The id of the node in a first request; empty where there is none. Source: envoy/config/core/v3/base.proto. */
export function nodeIdIn({ request }: Variant, message: Uint8Array): string {
  return textOf(bytesOf(message, request.node), 1);
}
