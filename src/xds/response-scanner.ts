import type { ResponseContents, ResponseFacts } from "./peek.ts";
import type { Variant } from "./variant.ts";

/** Wire types. Source: protobuf.dev, "Message Structure". */
const VARINT = 0;
const FIXED_64 = 1;
const BYTES = 2;
const GROUP_START = 3;
const GROUP_END = 4;
const FIXED_32 = 5;

/** Tags have 32 bits. */
const LARGEST_TAG = 2 ** 32 - 1;

/** A type URL, nonce, version or name that is longer is skipped. */
const MOST_TEXT_BYTES = 64 * 1_024;

/** A text on its way: what it is, and how many bytes are missing. */
interface Text {
  readonly put: (text: string) => void;
  readonly parts: Buffer[];
  missingBytes: number;
}

/** Which resources a whole response brings; those themselves are skipped, not decoded. Throws on bytes that are not protobuf. */
export function peekContents(variant: Variant, message: Buffer): ResponseContents {
  const scanner = new ResponseScanner(variant);
  scanner.push(message);
  return scanner.contents;
}

/**
 * Reads what the relay needs to know of a response while its bytes pass, in pieces cut anywhere. Resources are skipped;
 * of a delta response's, the names are read.
 */
export class ResponseScanner {
  readonly #variant: Variant;
  readonly #facts = { typeUrl: "", nonce: "", versionInfo: "", resourceCount: 0 };
  readonly #names: string[] = [];
  readonly #removed: string[] = [];
  /** Bytes of a field that nobody reads. */
  #skippedBytes = 0;
  #text: Text | undefined;
  /** Bytes left of the resource that is being read; undefined between resources. */
  #leftInResource: number | undefined;
  #nameOfResource = "";
  /** Field numbers of the groups around the next field, which nobody reads. */
  readonly #groups: number[] = [];
  #number = 0;
  #scale = 1;
  /** Set once a field's tag is read, until its value is. */
  #tag: number | undefined;

  constructor(variant: Variant) {
    this.#variant = variant;
  }

  get facts(): ResponseFacts {
    return this.#facts;
  }

  get contents(): ResponseContents {
    const isDelta = this.#variant.response.nameInResource !== undefined;
    const [names, removed, count] = [this.#names, this.#removed, this.#facts.resourceCount];
    return { names, removed, count: isDelta ? undefined : count };
  }

  /** Whether the bytes so far are a whole message. */
  get isWhole(): boolean {
    return this.#isBetweenFields && this.#leftInResource === undefined;
  }

  get #isBetweenFields(): boolean {
    const isWithinField = this.#skippedBytes > 0 || this.#text !== undefined || this.#tag !== undefined;
    return !isWithinField && this.#scale === 1 && this.#groups.length === 0;
  }

  /** Throws on bytes that are not protobuf. */
  push(piece: Buffer): void {
    let at = 0;
    while (at < piece.length) {
      const from = at;
      const isInResource = this.#leftInResource !== undefined;
      if (this.#skippedBytes > 0) {
        at += Math.min(this.#skippedBytes, piece.length - at);
        this.#skippedBytes -= at - from;
      } else if (this.#text !== undefined) {
        at += Math.min(this.#text.missingBytes, piece.length - at);
        this.#readText(this.#text, piece, from, at);
      } else at = this.#readNumber(piece, at);
      if (isInResource) this.#advanceInResource(at - from);
    }
  }

  #readText(text: Text, piece: Buffer, from: number, to: number): void {
    text.missingBytes -= to - from;
    const isWhole = text.parts.length === 0 && text.missingBytes === 0; // there are thousands of names
    if (!isWhole) text.parts.push(piece.subarray(from, to));
    if (text.missingBytes > 0) return;
    this.#text = undefined;
    text.put(isWhole ? piece.toString("utf8", from, to) : Buffer.concat(text.parts).toString());
  }

  /** A tag, a length or a number, or as much of it as there is. Returns where it ends. */
  #readNumber(piece: Buffer, start: number): number {
    const first = piece[start] ?? 0;
    if (first < 128 && this.#scale === 1) {
      this.#takeNumber(first); // nearly all of them
      return start + 1;
    }
    let number = this.#number;
    let scale = this.#scale;
    let at = start;
    let byte = 128;
    while (byte > 127 && at < piece.length) {
      byte = piece[at++] ?? 0;
      number += (byte & 127) * scale;
      scale *= 128;
      if (byte > 127 && scale > 2 ** 63) throw new Error("a number of the response has more than ten bytes");
    }
    this.#number = byte > 127 ? number : 0;
    this.#scale = byte > 127 ? scale : 1;
    if (byte < 128) this.#takeNumber(number);
    return at;
  }

  #takeNumber(number: number): void {
    if (this.#tag === undefined) this.#beginField(number);
    else {
      const tag = this.#tag;
      this.#tag = undefined;
      if ((tag & 7) === BYTES) this.#beginBytes(tag >>> 3, number);
    }
  }

  #beginField(tag: number): void {
    const wireType = tag & 7;
    const field = tag >>> 3; // of 32 bits
    if (field === 0 || tag > LARGEST_TAG) throw new Error("the response has a field with an impossible number");
    if (wireType === FIXED_64) this.#skippedBytes = 8;
    else if (wireType === FIXED_32) this.#skippedBytes = 4;
    else if (wireType === VARINT || wireType === BYTES) this.#tag = tag;
    else if (wireType === GROUP_START) this.#groups.push(field);
    else if (wireType === GROUP_END && this.#groups.at(-1) === field) this.#groups.pop();
    else throw new Error(`the response has a field of the wire type ${wireType}`);
  }

  #beginBytes(field: number, length: number): void {
    const { response } = this.#variant;
    if (this.#groups.length > 0) this.#skippedBytes = length;
    else if (this.#leftInResource !== undefined) {
      if (field === response.nameInResource) this.#beginText(length, this.#setName);
      else this.#skippedBytes = length;
    } else if (field === response.resources) {
      this.#facts.resourceCount++;
      if (response.nameInResource === undefined) this.#skippedBytes = length;
      else if (length === 0) this.#names.push("");
      else this.#leftInResource = length;
    } else {
      const put = this.#putterOf(field);
      if (put === undefined) this.#skippedBytes = length;
      else this.#beginText(length, put);
    }
  }

  readonly #setName = (name: string): void => {
    this.#nameOfResource = name;
  };

  #putterOf(field: number): Text["put"] | undefined {
    const { typeUrl, nonce, versionInfo, removed } = this.#variant.response;
    const facts = this.#facts;
    const set = (name: "typeUrl" | "nonce" | "versionInfo") => (text: string) =>
      void Object.assign(facts, { [name]: text });
    if (field === typeUrl) return set("typeUrl");
    if (field === nonce) return set("nonce");
    if (field === versionInfo) return set("versionInfo");
    return field === removed ? (name) => this.#removed.push(name) : undefined;
  }

  #beginText(length: number, put: Text["put"]): void {
    if (length === 0) put("");
    else if (length > MOST_TEXT_BYTES) this.#skippedBytes = length;
    else this.#text = { put, parts: [], missingBytes: length };
  }

  #advanceInResource(bytes: number): void {
    const left = (this.#leftInResource ?? 0) - bytes;
    this.#leftInResource = left;
    if (left > 0) return;
    if (left < 0 || !this.#isBetweenFields) throw new Error("a field of the response is longer than its resource");
    this.#leftInResource = undefined;
    this.#names.push(this.#nameOfResource);
    this.#nameOfResource = "";
  }
}
