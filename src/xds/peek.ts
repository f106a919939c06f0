import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { anyOfEntry } from "../proto/response-entry.ts";
import { type RawAny, readAny, readFields, textOf } from "../proto/wire.ts";
import type { Variant } from "./variant.ts";

/** What the relay needs to know of a request from Envoy. Missing fields are empty, as in proto3. */
export interface RequestFacts {
  readonly typeUrl: string;
  readonly nonce: string;
  /** Always empty in delta requests. */
  readonly versionInfo: string;
  /** `google.rpc.Status.message`; present only when Envoy rejects the response with this nonce. */
  readonly rejection: string | undefined;
}

export interface ResponseFacts {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly versionInfo: string;
  readonly resourceCount: number;
}

/** Which resources a response brings. */
export interface ResponseContents {
  /** In delta responses only. */
  readonly names: readonly string[];
  /** In delta responses only. */
  readonly removed: readonly string[];
  /** In whole states only. */
  readonly count: number | undefined;
}

/** Reads the facts of a request; every other field is skipped, not decoded. Throws on bytes that are not protobuf. */
export function peekRequest(variant: Variant, message: Uint8Array): RequestFacts {
  const { typeUrl, nonce, versionInfo, errorDetail } = variant.request;
  const facts = { typeUrl: "", nonce: "", versionInfo: "", rejection: undefined as string | undefined };
  readFields(message, (field, reader) => {
    if (field === typeUrl) facts.typeUrl = reader.string();
    else if (field === nonce) facts.nonce = reader.string();
    else if (field === versionInfo) facts.versionInfo = reader.string();
    else if (field === errorDetail) facts.rejection = textOf(reader.bytes(), 2);
    else return false;
    return true;
  });
  return facts;
}

/** Reads the facts of a response without touching its resources. Throws on bytes that are not protobuf. */
export function peekResponse(variant: Variant, message: Uint8Array): ResponseFacts {
  const { typeUrl, nonce, versionInfo, resources } = variant.response;
  const facts = { typeUrl: "", nonce: "", versionInfo: "", resourceCount: 0 };
  readFields(message, (field, reader) => {
    if (field === typeUrl) facts.typeUrl = reader.string();
    else if (field === nonce) facts.nonce = reader.string();
    else if (field === versionInfo) facts.versionInfo = reader.string();
    else {
      if (field === resources) facts.resourceCount++;
      return false;
    }
    return true;
  });
  return facts;
}

/**
 * The type of a response by its first bytes: its own type URL stands behind the resources, so it is that of the first
 * resource. Undefined where the bytes do not show it.
 */
export function typeByStart({ response }: Variant, start: Uint8Array): string | undefined {
  const resource = firstBytes(start, response.resources);
  const any =
    resource !== undefined && response.anyInResource !== undefined
      ? firstBytes(resource, response.anyInResource)
      : resource;
  const typeUrl = any === undefined ? undefined : firstBytes(any, ANY_TYPE_URL, IS_WHOLE);
  return typeUrl === undefined ? undefined : UTF8.decode(typeUrl);
}

const ANY_TYPE_URL = 1;
const IS_WHOLE = true;
const UTF8 = new TextDecoder();

/** The first length-delimited field of a number in bytes that may end anywhere; as much of it as there is. */
function firstBytes(bytes: Uint8Array, wanted: number, isWhole = false): Uint8Array | undefined {
  const reader = new BinaryReader(bytes);
  try {
    while (reader.pos < reader.len) {
      const [field, wireType] = reader.tag();
      if (wireType !== WireType.LengthDelimited) reader.skip(wireType, field);
      else {
        const end = reader.uint32() + reader.pos;
        if (field === wanted) return isWhole && end > reader.len ? undefined : bytes.subarray(reader.pos, end);
        if (end > reader.len) return undefined;
        reader.pos = end;
      }
    }
  } catch {
    // cut off within a tag or a length
  }
  return undefined;
}

/** The first resource of a response, or undefined when it has none. The value shares the message's memory. */
export function firstResource(variant: Variant, message: Uint8Array): RawAny | undefined {
  let first: Uint8Array | undefined;
  readFields(message, (field, reader) => {
    if (field !== variant.response.resources || first !== undefined) return false;
    first = reader.bytes();
    return true;
  });
  if (first === undefined) return undefined;
  return readAny(anyOfEntry(first, variant.response));
}

export interface RequestDraft {
  readonly typeUrl: string;
  readonly nonce?: string;
  /** Left out of delta requests, which have no such field. */
  readonly versionInfo?: string;
  /** Makes the request a rejection (NACK) with this text and code 13, INTERNAL. */
  readonly rejection?: string;
}

/** Encodes a request of the agent's own: a subscription, an acknowledgement or a rejection. */
export function encodeRequest(variant: Variant, draft: RequestDraft): Uint8Array {
  const { typeUrl, nonce, versionInfo, errorDetail } = variant.request;
  const writer = new BinaryWriter();
  const text = (field: number | undefined, value: string | undefined): void => {
    if (field !== undefined && value) writer.tag(field, WireType.LengthDelimited).string(value);
  };
  text(versionInfo, draft.versionInfo);
  text(typeUrl, draft.typeUrl);
  text(nonce, draft.nonce);
  if (draft.rejection !== undefined) {
    writer.tag(errorDetail, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.Varint).int32(INTERNAL).tag(2, WireType.LengthDelimited).string(draft.rejection).join();
  }
  return writer.finish();
}

const INTERNAL = 13;
