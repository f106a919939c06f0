import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

// Messages without descriptors. Those of the generated ones take 20 ms of processor time to load on Node 20, a tenth
// of an agent's start, while a proxy waits for its first certificate. What the agent itself says and reads on that way
// is a handful of fields; tests hold them against the generated messages.

/** A text, bytes (also an encoded message), or a whole number of any of the varint types that is not negative. */
export type FieldValue = string | Uint8Array | number | bigint | boolean;

/** Encodes fields by their numbers. What is undefined is left out; defaults are written like any other value. */
export function encodeFields(fields: Readonly<Record<number, FieldValue | undefined>>): Uint8Array {
  const writer = new BinaryWriter();
  for (const [number, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    const isBytes = typeof value === "string" || value instanceof Uint8Array;
    writer.tag(Number(number), isBytes ? WireType.LengthDelimited : WireType.Varint);
    if (typeof value === "string") writer.string(value);
    else if (value instanceof Uint8Array) writer.bytes(value);
    else writer.int64(BigInt(value));
  }
  return writer.finish();
}

/** Reads one field and returns true, or returns false without having read. */
export type TakeField = (field: number, reader: BinaryReader) => boolean;

/**
 * Gives each length-delimited field to `take` and each varint to `takeNumber`; what they do not take, and everything
 * else, is skipped. Throws on bytes that are not protobuf.
 */
export function readFields(bytes: Uint8Array, take: TakeField, takeNumber: TakeField = () => false): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    const taken =
      (wireType === WireType.LengthDelimited && take(field, reader)) ||
      (wireType === WireType.Varint && takeNumber(field, reader));
    if (!taken) skip(reader, wireType, field);
  }
}

/**
 * The place of each length-delimited field between two others, for lists that are too long for a reader of each entry; `end`
 * is where the next field begins. Throws on bytes that are not protobuf, and on groups, which proto3 does not have.
 */
export function eachField(
  bytes: Uint8Array,
  from: number,
  to: number,
  take: (field: number, start: number, end: number) => void,
): void {
  let at = from;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; at < to; scale *= 128) {
      const byte = bytes[at++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    throw new Error("the bytes end within a field");
  };
  while (at < to) {
    const tag = varint();
    const wireType = tag % 8;
    if (wireType === WireType.LengthDelimited) {
      const length = varint();
      const start = at;
      at += length;
      if (at <= to) take((tag - wireType) / 8, start, at);
    } else if (wireType === WireType.Varint) varint();
    else if (wireType === WireType.Bit64) at += 8;
    else if (wireType === WireType.Bit32) at += 4;
    else throw new Error(`wire type ${wireType} is none of proto3`);
    if (at > to) throw new Error("the bytes end within a field");
  }
}

/** The reader's own would make a view of all that it skips, and a message may have thousands of resources. */
function skip(reader: BinaryReader, wireType: WireType, field: number): void {
  if (wireType !== WireType.LengthDelimited) return void reader.skip(wireType, field);
  const end = reader.uint32() + reader.pos;
  if (end > reader.len) throw new RangeError("premature EOF");
  reader.pos = end;
}

/** The last length-delimited field of a number, which counts in protobuf; undefined when there is none. */
export function fieldOf(message: Uint8Array, wanted: number): Uint8Array | undefined {
  let found: Uint8Array | undefined;
  readFields(message, (field, reader) => {
    if (field !== wanted) return false;
    found = reader.bytes();
    return true;
  });
  return found;
}

/** The same; empty when there is none. */
export function bytesOf(message: Uint8Array, wanted: number): Uint8Array {
  return fieldOf(message, wanted) ?? new Uint8Array();
}

/** The same as text. */
export function textOf(message: Uint8Array, wanted: number): string {
  return UTF8.decode(bytesOf(message, wanted));
}

const UTF8 = new TextDecoder();

/** A `google.protobuf.Any` whose value is not decoded; it shares the message's memory. */
export interface RawAny {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

/** Missing fields are empty, as in proto3. Throws on bytes that are not protobuf. */
export function readAny(bytes: Uint8Array): RawAny {
  const any = { typeUrl: "", value: new Uint8Array() as Uint8Array };
  readFields(bytes, (field, reader) => {
    if (field === 1) any.typeUrl = reader.string();
    else if (field === 2) any.value = reader.bytes();
    else return false;
    return true;
  });
  return any;
}

/** The full name of the message in a `google.protobuf.Any`. */
export function typeOf(any: Uint8Array): string {
  return nameIn(textOf(any, 1));
}

/** The full name of a message in its type URL. */
export function nameIn(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf("/") + 1);
}

/**
 * Says what becomes of a length-delimited field: its own bytes keep it, other bytes take its place, and undefined leaves
 * it out.
 */
export type RewriteField = (field: number, value: Uint8Array) => Uint8Array | undefined;

/**
 * Rewrites fields of a message. Everything else, unknown fields and the order included, keeps its bytes; where nothing
 * changes, the result is the very object that was given. Throws on bytes that are not protobuf.
 */
export function rewriteFields(bytes: Uint8Array, rewrite: RewriteField): Uint8Array {
  const reader = new BinaryReader(bytes);
  const parts: Uint8Array[] = [];
  let copiedTo = 0;
  while (reader.pos < reader.len) {
    const from = reader.pos;
    const [field, wireType] = reader.tag();
    if (wireType !== WireType.LengthDelimited) {
      reader.skip(wireType, field);
      continue;
    }
    const value = reader.bytes();
    const next = rewrite(field, value);
    if (next === value) continue;
    parts.push(bytes.subarray(copiedTo, from));
    if (next !== undefined) parts.push(header(field, next.length), next);
    copiedTo = reader.pos;
  }
  if (parts.length === 0) return bytes;
  parts.push(bytes.subarray(copiedTo));
  return join(parts);
}

/** Written by hand: a writer for each rewritten field took most of the time. */
function header(field: number, length: number): Uint8Array {
  const bytes: number[] = [];
  for (const number of [field * 8 + WireType.LengthDelimited, length]) {
    let rest = number;
    for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
    bytes.push(rest);
  }
  return Uint8Array.from(bytes);
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
