import { describeError, systemCode } from "../base/index.ts";
import { Code, StatusError } from "../grpc/index.ts";

/** Takes the messages of one direction of a stream, in order. A promise holds up everything after it. */
export interface MessageHandler {
  /** A whole message. */
  message(bytes: Buffer): Promise<void> | void;
  /**
   * Asked once for a message of more than 64 KiB, by its first bytes, which are at least 4 KiB. Undefined: the message is
   * collected, and given to `message`. Default: always collected.
   */
  large?(start: Buffer, length: number): PieceHandler | undefined;
}

/** Takes one message in pieces as they arrive; their lengths add up to the message's. */
export interface PieceHandler {
  piece(bytes: Buffer, isLast: boolean): Promise<void> | void;
}

export interface ReaderLimits {
  /** The longest message that is collected; a longer one fails the stream with RESOURCE_EXHAUSTED. */
  readonly mostBytes: number;
  /** The header `grpc-encoding` of the other side, once it is there. Default: identity. */
  readonly encoding?: () => string | undefined;
  /**
   * What an encoding that is not known here is to the stream: INTERNAL at a client. Default: UNIMPLEMENTED, as at a server.
   * Source: grpc/grpc doc/compression.md.
   */
  readonly unknownEncodingCode?: number;
}

/** A message is longer than permitted; nothing of it was kept. */
export class TooLong extends StatusError {
  /** As announced; the limit where it was not. */
  readonly bytes: number;

  constructor(bytes: number | string, mostBytes: number) {
    super(Code.RESOURCE_EXHAUSTED, `received message larger than max (${bytes} vs. ${mostBytes})`);
    this.bytes = typeof bytes === "number" ? bytes : mostBytes;
  }
}

/** A message up to this size is collected: that costs less than to pass it on in pieces. */
const SMALL_BYTES = 64 * 1_024;
/** What is enough to know a message by. */
const START_BYTES = 4 * 1_024;
/** A flag byte, and the length in four. Source: grpc/grpc doc/PROTOCOL-HTTP2.md. */
const HEADER_BYTES = 5;

interface Body {
  readonly length: number;
  readonly isCompressed: boolean;
  leftBytes: number;
  /** What was collected so far. */
  parts: Buffer[];
  collectedBytes: number;
  isDecided: boolean;
  pieces: PieceHandler | undefined;
}

/** Cuts the bytes of a stream into gRPC's length-prefixed messages. Memory follows what has arrived, never what is announced. */
export class MessageReader {
  readonly #handler: MessageHandler;
  readonly #limits: ReaderLimits;
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #headerBytes = 0;
  #body: Body | undefined;

  constructor(handler: MessageHandler, limits: ReaderLimits) {
    this.#handler = handler;
    this.#limits = limits;
  }

  /** Whether the bytes so far end with the end of a message. */
  get isBetweenMessages(): boolean {
    return this.#body === undefined && this.#headerBytes === 0;
  }

  /** Throws or rejects with a StatusError on what cannot be a message, and with whatever the handler throws. */
  push(chunk: Buffer): Promise<void> | void {
    let rest = chunk;
    for (;;) {
      if (this.#body === undefined) {
        rest = this.#readHeader(rest);
        if (this.#headerBytes < HEADER_BYTES) return;
        this.#body = this.#begin();
      }
      const body = this.#body;
      if (rest.length === 0 && body.leftBytes > 0) return;
      const piece = rest.length > body.leftBytes ? rest.subarray(0, body.leftBytes) : rest;
      rest = rest.subarray(piece.length);
      body.leftBytes -= piece.length;
      const waiting = this.#take(body, piece);
      if (waiting instanceof Promise) {
        const later = rest;
        return waiting.then(() => (later.length === 0 ? undefined : this.push(later)));
      }
      if (rest.length === 0) return;
    }
  }

  #readHeader(bytes: Buffer): Buffer {
    const taken = bytes.copy(this.#header, this.#headerBytes, 0, HEADER_BYTES - this.#headerBytes);
    this.#headerBytes += taken;
    return bytes.subarray(taken);
  }

  #begin(): Body {
    const [flags, length] = [this.#header[0] ?? 0, this.#header.readUInt32BE(1)];
    if (flags > 1) throw new StatusError(Code.INTERNAL, `a message begins with ${flags}, which gRPC does not know`);
    const isCompressed = flags === 1;
    const isDecided = isCompressed || length <= SMALL_BYTES || this.#handler.large === undefined;
    const body = {
      length,
      isCompressed,
      leftBytes: length,
      parts: [],
      collectedBytes: 0,
      isDecided,
      pieces: undefined,
    };
    if (isDecided) this.#checkLength(length);
    return body;
  }

  #checkLength(length: number): void {
    const { mostBytes } = this.#limits;
    if (length > mostBytes) throw new TooLong(length, mostBytes);
  }

  #take(body: Body, piece: Buffer): Promise<void> | void {
    const isLast = body.leftBytes === 0;
    if (isLast) {
      this.#body = undefined;
      this.#headerBytes = 0;
    }
    if (body.pieces !== undefined) return body.pieces.piece(piece, isLast);
    body.parts.push(piece);
    body.collectedBytes += piece.length;
    if (!body.isDecided && body.collectedBytes >= START_BYTES) {
      const decided = this.#decide(body, isLast);
      if (decided !== undefined) return decided.waiting;
    }
    return isLast ? this.#finish(body) : undefined;
  }

  /** Undefined where the message is to be collected. */
  #decide(body: Body, isLast: boolean): { readonly waiting: Promise<void> | void } | undefined {
    body.isDecided = true;
    const start = joined(body);
    body.pieces = this.#handler.large?.(start, body.length);
    if (body.pieces === undefined) {
      this.#checkLength(body.length);
      body.parts = [start];
      return undefined;
    }
    body.parts = [];
    return { waiting: body.pieces.piece(start, isLast) };
  }

  #finish(body: Body): Promise<void> | void {
    const message = joined(body);
    if (!body.isCompressed) return this.#handler.message(message);
    return decompress(message, this.#limits).then((bytes) => this.#handler.message(bytes));
  }
}

function joined({ parts, collectedBytes }: Body): Buffer {
  const [first] = parts;
  return parts.length === 1 && first !== undefined ? first : Buffer.concat(parts, collectedBytes);
}

/** zlib is loaded for those who compress, which neither Envoy nor Istio does. */
async function decompress(message: Buffer, limits: ReaderLimits): Promise<Buffer> {
  const { encoding, mostBytes, unknownEncodingCode = Code.UNIMPLEMENTED } = limits;
  const name = encoding?.() ?? "identity";
  if (name === "identity")
    throw new StatusError(Code.INTERNAL, "a message is compressed, and the headers of its stream do not say how");
  const [{ promisify }, { gunzip, inflate }] = await Promise.all([import("node:util"), import("node:zlib")]);
  const unpack = new Map([
    ["gzip", gunzip],
    ["deflate", inflate],
  ]).get(name);
  if (unpack === undefined)
    throw new StatusError(unknownEncodingCode, `a message is compressed with "${name}"; known: gzip, deflate`);
  try {
    return await promisify(unpack)(message, { maxOutputLength: mostBytes });
  } catch (error) {
    if (systemCode(error) === "ERR_BUFFER_TOO_LARGE") throw new TooLong(`more than ${mostBytes}`, mostBytes);
    throw new StatusError(Code.INTERNAL, `a message cannot be decompressed: ${describeError(error)}`);
  }
}
