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
  /** Names of the resources that a client of a new delta stream has. */
  readonly initial: readonly string[];
}

/** Throws on bytes that are not protobuf. */
export function readRequest({ request: fields }: Variant, message: Uint8Array): Request {
  const found = { typeUrl: "", nonce: "", version: "", isRejection: false };
  const [names, unsubscribed, initial]: [string[], string[], string[]] = [[], [], []];
  readFields(message, (field, reader) => {
    if (field === fields.typeUrl) found.typeUrl = reader.string();
    else if (field === fields.nonce) found.nonce = reader.string();
    else if (field === fields.versionInfo) found.version = reader.string();
    else if (field === fields.names) names.push(reader.string());
    else if (field === fields.unsubscribe) unsubscribed.push(reader.string());
    else if (field === fields.initialVersions) initial.push(textOf(reader.bytes(), 1));
    else {
      if (field === fields.errorDetail) found.isRejection = true;
      return false;
    }
    return true;
  });
  return { ...found, names, unsubscribed, initial };
}

/** The id of the node in a first request; empty where there is none. Source: envoy/config/core/v3/base.proto. */
export function nodeIdIn({ request }: Variant, message: Uint8Array): string {
  return textOf(bytesOf(message, request.node), 1);
}
