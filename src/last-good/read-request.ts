import type { Variant } from "../proto/ads-variant.ts";
import { bytesOf, readFields, textOf } from "../proto/wire.ts";

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

/** Throws on bytes that are not protobuf. */
export function readRequest({ request: fields }: Variant, message: Uint8Array): Request {
  const found = { typeUrl: "", nonce: "", version: "", isRejection: false };
  const [names, unsubscribed]: [string[], string[]] = [[], []];
  const initial = new Map<string, string>();
  readFields(message, (field, reader) => {
    if (field === fields.typeUrl) found.typeUrl = reader.string();
    else if (field === fields.nonce) found.nonce = reader.string();
    else if (field === fields.versionInfo) found.version = reader.string();
    else if (field === fields.names) names.push(reader.string());
    else if (field === fields.unsubscribe) unsubscribed.push(reader.string());
    else if (field === fields.initialVersions) addTo(initial, reader.bytes());
    else {
      if (field === fields.errorDetail) found.isRejection = true;
      return false;
    }
    return true;
  });
  return { ...found, names, unsubscribed, initial };
}

function addTo(versions: Map<string, string>, entry: Uint8Array): void {
  versions.set(textOf(entry, 1), textOf(entry, 2));
}

/** The id of the node in a first request; empty where there is none. Source: envoy/config/core/v3/base.proto. */
export function nodeIdIn({ request }: Variant, message: Uint8Array): string {
  return textOf(bytesOf(message, request.node), 1);
}
