/** The beginning of a frame. */
export interface FrameHead<Frame> {
  readonly headBytes: number;
  readonly bodyBytes: number;
  readonly frame: Frame;
  /** Whether the body is passed on as it comes. Of others, no more than `MOST_WHOLE_BYTES` are kept. */
  readonly isStreamed: boolean;
}

export interface FrameHandler<Frame> {
  /** Undefined as long as there are too few bytes for a head. May throw. */
  readHead(bytes: Buffer): FrameHead<Frame> | undefined;
  /** A piece of a streamed body. */
  part(frame: Frame, bytes: Buffer): void;
  /** The frame is complete; `body` is empty when it was streamed. */
  end(frame: Frame, body: Buffer): void;
}

const MOST_WHOLE_BYTES = 65_536;
const NOTHING = Buffer.alloc(0);

/** Cuts a stream of bytes into frames. Whatever the size of a frame, only its head and short bodies are kept. */
export class FrameReader<Frame> {
  readonly #handler: FrameHandler<Frame>;
  #kept: Buffer = NOTHING;
  #open: { readonly head: FrameHead<Frame>; left: number } | undefined;

  constructor(handler: FrameHandler<Frame>) {
    this.#handler = handler;
  }

  /** Throws what the handler throws, and for a body that is too long. */
  feed(chunk: Buffer): void {
    let bytes: Buffer = this.#kept.length === 0 ? chunk : Buffer.concat([this.#kept, chunk]);
    this.#kept = NOTHING;
    for (;;) {
      if (this.#open === undefined) {
        const head = this.#handler.readHead(bytes);
        if (head === undefined) break;
        if (!head.isStreamed && head.bodyBytes > MOST_WHOLE_BYTES) throw new Error("a frame is too long");
        this.#open = { head, left: head.bodyBytes };
        bytes = bytes.subarray(head.headBytes);
      }
      const { head, left } = this.#open;
      if (!head.isStreamed && bytes.length < left) break;
      const body = bytes.subarray(0, left);
      bytes = bytes.subarray(body.length);
      this.#open.left -= body.length;
      if (head.isStreamed && body.length > 0) this.#handler.part(head.frame, body);
      if (this.#open.left > 0) break;
      this.#open = undefined;
      this.#handler.end(head.frame, head.isStreamed ? NOTHING : body);
    }
    this.#kept = Buffer.from(bytes); // a copy: the chunk it is a part of may be large
  }
}
