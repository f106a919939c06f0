import { WireType } from "@bufbuild/protobuf/wire";

/** Takes a length-delimited field of the message; `undefined` stands for a value above the limit, which was not kept. */
export type TakePiece = (field: number, value: Uint8Array | undefined) => void;

/**
 * Splits a protobuf message into its fields while it arrives in chunks, wherever those were cut. Holds one field at a
 * time and at most `mostBytes` of it; fields that are not length-delimited are skipped. Throws on bytes that are not protobuf.
 */
export class FieldSplitter {
  readonly #take: TakePiece;
  readonly #mostBytes: number;
  /** The beginning of a field whose tag or length is not complete yet. */
  #head: Uint8Array = new Uint8Array();
  #field = 0;
  /** Bytes of the current field that are still to come. */
  #left = 0;
  /** What has arrived of the current field; undefined where it is skipped. */
  #parts: Uint8Array[] | undefined;

  constructor(mostBytes: number, take: TakePiece) {
    this.#mostBytes = mostBytes;
    this.#take = take;
  }

  write(chunk: Uint8Array): void {
    const bytes = this.#head.length === 0 ? chunk : Buffer.concat([this.#head, chunk]);
    this.#head = new Uint8Array();
    let at = 0;
    while (at < bytes.length) {
      if (this.#left > 0) {
        at += this.#continue(bytes, at);
        continue;
      }
      const length = this.#begin(bytes, at);
      if (length === undefined) {
        this.#head = bytes.slice(at); // a copy: a few bytes must not keep the chunk
        return;
      }
      at += length;
    }
  }

  /** The message is complete. Throws where it was cut. */
  end(): void {
    if (this.#left > 0 || this.#head.length > 0) throw new Error("the message ends in the middle of a field");
  }

  /** Takes what there is of the current field; gives the number of bytes. */
  #continue(bytes: Uint8Array, at: number): number {
    const piece = bytes.subarray(at, at + this.#left);
    this.#left -= piece.length;
    this.#parts?.push(piece);
    if (this.#left === 0) this.#finish();
    return piece.length;
  }

  /** Reads tag and length; gives the bytes that they took, or undefined where they are not complete. */
  #begin(bytes: Uint8Array, at: number): number | undefined {
    const tag = readVarint(bytes, at);
    if (tag === undefined) return undefined;
    this.#field = Math.floor(tag.value / 8);
    this.#parts = undefined;
    const wireType = tag.value % 8;
    if (this.#field === 0) throw new Error("a field has no number");
    if (wireType === WireType.Bit64 || wireType === WireType.Bit32) {
      this.#left = wireType === WireType.Bit64 ? 8 : 4;
      return tag.bytes;
    }
    if (wireType !== WireType.Varint && wireType !== WireType.LengthDelimited)
      throw new Error(`a field has wire type ${wireType}`);
    const number = readVarint(bytes, at + tag.bytes);
    if (number === undefined) return undefined;
    if (wireType === WireType.LengthDelimited) this.#open(number.value);
    return tag.bytes + number.bytes;
  }

  #open(length: number): void {
    if (length > MOST_FIELD_BYTES) throw new Error(`a field has ${length} bytes`);
    this.#left = length;
    this.#parts = length > this.#mostBytes ? undefined : [];
    if (length === 0) this.#finish();
    else if (this.#parts === undefined) this.#take(this.#field, undefined);
  }

  #finish(): void {
    const parts = this.#parts;
    this.#parts = undefined;
    if (parts === undefined) return;
    const [only] = parts;
    this.#take(this.#field, parts.length === 1 && only !== undefined ? only : Buffer.concat(parts));
  }
}

/** Protobuf's own limit. */
const MOST_FIELD_BYTES = 2 ** 31;

/** Numbers above 2^53 lose digits, which only makes a length too large. Undefined where bytes are missing. */
function readVarint(bytes: Uint8Array, from: number): { readonly value: number; readonly bytes: number } | undefined {
  let value = 0;
  for (let length = 1; length <= MOST_VARINT_BYTES; length++) {
    const byte = bytes[from + length - 1];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) * 2 ** (7 * (length - 1));
    if (byte < 0x80) return { value, bytes: length };
  }
  throw new Error("a number has more than ten bytes");
}

const MOST_VARINT_BYTES = 10;
