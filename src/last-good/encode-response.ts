import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { Variant } from "../proto/ads-variant.ts";
import { RESOURCE_VERSION } from "../proto/response-entry.ts";

// A discovery response in pieces: what is around the values, which lie on disk. Source: envoy/service/discovery/v3/discovery.proto.

/** A resource but for its value. */
export interface ResourceFacts {
  readonly name: string;
  readonly version: string;
  /** Of the value. */
  readonly bytes: number;
}

/** What stands before and behind the resources. */
export function responseEnds(
  { response }: Variant,
  facts: { readonly typeUrl: string; readonly version: string; readonly nonce: string },
): { readonly start: Uint8Array; readonly end: Uint8Array } {
  const end = new BinaryWriter();
  end.tag(response.typeUrl, WireType.LengthDelimited).string(facts.typeUrl);
  end.tag(response.nonce, WireType.LengthDelimited).string(facts.nonce);
  const start = new BinaryWriter().tag(response.versionInfo, WireType.LengthDelimited).string(facts.version);
  return { start: start.finish(), end: end.finish() };
}

/** What stands before and behind the value of a resource. */
export function resourceEnds(
  { response }: Variant,
  typeUrl: string,
  resource: ResourceFacts,
): { readonly before: Uint8Array; readonly behind: Uint8Array } {
  const { name, version, bytes } = resource;
  const { anyInResource, nameInResource } = response;
  const before = new BinaryWriter().tag(response.resources, WireType.LengthDelimited);
  const behind = new BinaryWriter();
  if (anyInResource !== undefined && nameInResource !== undefined) {
    before.uint32(entryBytes(typeUrl, resource));
    before.tag(RESOURCE_VERSION, WireType.LengthDelimited).string(version);
    before.tag(anyInResource, WireType.LengthDelimited);
    behind.tag(nameInResource, WireType.LengthDelimited).string(name);
  }
  before.uint32(anyBytes(typeUrl, bytes));
  before.tag(ANY_TYPE_URL, WireType.LengthDelimited).string(typeUrl);
  before.tag(ANY_VALUE, WireType.LengthDelimited).uint32(bytes);
  return { before: before.finish(), behind: behind.finish() };
}

/** Of a resource in the response, with its value. */
export function resourceBytes({ response }: Variant, typeUrl: string, resource: ResourceFacts): number {
  const isWrapped = response.anyInResource !== undefined;
  return fieldBytes(isWrapped ? entryBytes(typeUrl, resource) : anyBytes(typeUrl, resource.bytes));
}

function entryBytes(typeUrl: string, { name, version, bytes }: ResourceFacts): number {
  const any = fieldBytes(anyBytes(typeUrl, bytes));
  return fieldBytes(Buffer.byteLength(version)) + any + fieldBytes(Buffer.byteLength(name));
}

function anyBytes(typeUrl: string, bytes: number): number {
  return fieldBytes(Buffer.byteLength(typeUrl)) + fieldBytes(bytes);
}

/** Of a length-delimited field with its tag, which has one byte for numbers below 16. */
function fieldBytes(length: number): number {
  let lengthBytes = 1;
  for (let rest = length; rest > 127; rest = Math.floor(rest / 128)) lengthBytes++;
  return 1 + lengthBytes + length;
}

const ANY_TYPE_URL = 1;
const ANY_VALUE = 2;
