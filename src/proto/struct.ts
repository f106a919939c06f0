import { bytesOf, fieldOf, readFields, textOf } from "./wire.ts";

// A `google.protobuf.Struct` as it is on the wire: JSON without descriptors. Source: google/protobuf/struct.proto.

/** Full names of the messages that hold another one's configuration as a Struct. */
export const TYPED_STRUCTS: ReadonlySet<string> = new Set(["xds.type.v3.TypedStruct", "udpa.type.v1.TypedStruct"]);

/** A member as an encoded `Value`; of several names the last that is there. Throws on bytes that are not protobuf. */
export function memberOf(struct: Uint8Array, ...names: readonly string[]): Uint8Array | undefined {
  let found: Uint8Array | undefined;
  readFields(struct, (field, reader) => {
    if (field !== 1) return false;
    const entry = reader.bytes();
    if (names.includes(textOf(entry, 1))) found = bytesOf(entry, 2);
    return true;
  });
  return found;
}

/** What a `Value` holds when it is a text, a number, a bool or a Struct (as bytes); undefined for null, lists and nothing. */
export function valueIn(value: Uint8Array | undefined): string | number | boolean | Uint8Array | undefined {
  if (value === undefined || value.length === 0) return undefined;
  switch (value[0]) {
    case TAG.number:
      return value.length < 9 ? undefined : new DataView(value.buffer, value.byteOffset).getFloat64(1, true);
    case TAG.text:
      return textOf(value, 3);
    case TAG.bool:
      return value[1] === 1;
    case TAG.struct:
      return fieldOf(value, 5);
    default:
      return undefined;
  }
}

/** One byte: the number of the field and its wire type. */
const TAG = { number: 0x11, text: 0x1a, bool: 0x20, struct: 0x2a } as const;
