import type { Variant } from "./ads-variant.ts";
import { bytesOf, readFields } from "./wire.ts";

/** A resource as it stands in a discovery response. Its bytes share the memory of the entry. */
export interface ResponseEntry {
  /** Empty in whole states, whose entry is the `Any` itself. */
  readonly name: string;
  /** Its own; empty in whole states, and where the control plane gives none. */
  readonly version: string;
  /** The resource as a `google.protobuf.Any`; empty where there is none. */
  readonly any: Uint8Array;
}

/** Throws on bytes that are not protobuf. Source: envoy/service/discovery/v3/discovery.proto. */
export function readEntry(entry: Uint8Array, { anyInResource, nameInResource }: Variant["response"]): ResponseEntry {
  const found = { name: "", version: "", any: entry };
  if (anyInResource === undefined) return found;
  found.any = new Uint8Array();
  readFields(entry, (field, reader) => {
    if (field === nameInResource) found.name = reader.string();
    else if (field === RESOURCE_VERSION) found.version = reader.string();
    else if (field === anyInResource) found.any = reader.bytes();
    else return false;
    return true;
  });
  return found;
}

/** The resource of an entry alone. */
export function anyOfEntry(entry: Uint8Array, { anyInResource }: Variant["response"]): Uint8Array {
  return anyInResource === undefined ? entry : bytesOf(entry, anyInResource);
}

/** `envoy.service.discovery.v3.Resource.version` */
export const RESOURCE_VERSION = 1;
