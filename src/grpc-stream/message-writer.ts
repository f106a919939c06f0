import type { Http2Stream } from "node:http2";

const HEADER_BYTES = 5;
/** A message up to this size is copied behind its header: one write instead of two. */
const COPIED_BYTES = 16 * 1_024;
/** So much may be on its way to the other side before a writer has to wait. */
const UNSENT_BYTES = 256 * 1_024;

/** One message that is written in pieces. Nothing else is sent until all of its bytes are written. */
export interface PieceWriter {
  /** A promise asks to wait with the next piece. `onSent` is called once the piece has left. */
  write(piece: Buffer, onSent?: () => void): Promise<void> | void;
}

/**
 * Writes gRPC's length-prefixed messages. `send` never refuses: what waits for the other side stays in memory, and its
 * promise tells when there is room again.
 */
export class MessageWriter {
  readonly #stream: Http2Stream;
  #beforeFirst: (() => void) | undefined;
  #unsentBytes = 0;
  #isOver = false;
  /** Who waits for room. */
  #waiting: (() => void)[] = [];
  /** The message that is being written in pieces. */
  #open: { missingBytes: number; readonly ended: Promise<void>; readonly end: () => void } | undefined;

  /** `beforeFirst` is called before the first byte is written. */
  constructor(stream: Http2Stream, beforeFirst?: () => void) {
    this.#stream = stream;
    this.#beforeFirst = beforeFirst;
    stream.once("close", () => this.#end());
  }

  /** Whether a message was begun and not completed. */
  get isWithinMessage(): boolean {
    return this.#open !== undefined && this.#open.missingBytes > 0;
  }

  /** Bytes that the other side has not taken. */
  get unsentBytes(): number {
    return this.#unsentBytes;
  }

  /** A promise settles when there is room for more, or the stream is over. `onSent` is called once the message has left. */
  send(message: Uint8Array, onSent?: () => void): Promise<void> | void {
    if (this.#isOver) return;
    if (this.#open !== undefined) return this.#open.ended.then(() => this.send(message, onSent));
    if (message.length <= COPIED_BYTES) this.#write(Buffer.concat([header(message.length), message]), onSent);
    else {
      this.#stream.cork();
      this.#write(header(message.length));
      this.#write(message, onSent);
      this.#stream.uncork();
    }
    return this.#room();
  }

  /** Resolves when it is this message's turn. `length` is that of the whole message, and not 0. */
  async begin(length: number): Promise<PieceWriter> {
    while (this.#open !== undefined && !this.#isOver) await this.#open.ended;
    const open = { missingBytes: length, ...settleable() };
    this.#open = open;
    // who waits for its end comes first, in the order of asking
    void open.ended.then(() => {
      this.#open = undefined;
    });
    if (this.#isOver) open.end();
    this.#write(header(length));
    return {
      write: (piece, onSent) => {
        open.missingBytes -= piece.length;
        this.#write(piece, onSent);
        if (open.missingBytes === 0) open.end();
        return this.#room();
      },
    };
  }

  /** Nothing is sent after this. */
  end(): void {
    this.#stream.end();
  }

  #write(bytes: Uint8Array, onSent?: () => void): void {
    if (this.#isOver || this.#stream.writableEnded || this.#stream.destroyed) return;
    this.#beforeFirst?.();
    this.#beforeFirst = undefined;
    this.#unsentBytes += bytes.length;
    this.#stream.write(bytes, (error) => {
      this.#unsentBytes -= bytes.length;
      if (this.#unsentBytes < UNSENT_BYTES) this.#wake();
      if (!error) onSent?.();
    });
  }

  #room(): Promise<void> | void {
    if (this.#isOver || this.#unsentBytes < UNSENT_BYTES) return;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  #end(): void {
    this.#isOver = true;
    this.#open?.end();
    this.#wake();
  }
}

/** Source: grpc/grpc doc/PROTOCOL-HTTP2.md. */
function header(length: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

function settleable(): { readonly ended: Promise<void>; readonly end: () => void } {
  let end = (): void => undefined;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  return { ended, end };
}
