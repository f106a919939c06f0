import type { PieceHandler, PieceWriter } from "../grpc-stream/index.ts";
import type { ResponseContents, ResponseFacts } from "./peek.ts";
import { ResponseScanner } from "./response-scanner.ts";
import type { Variant } from "./variant.ts";

export interface PassingResponseOptions {
  readonly variant: Variant;
  /** Resolves when Envoy may be sent a message. */
  readonly begin: () => Promise<PieceWriter>;
  /** Called when all of the response was read, before its last piece is sent. What it throws withholds that. */
  readonly onRead: (facts: ResponseFacts) => void;
  /** Called when all was sent, with the time that Envoy kept it waiting. To note thousands of names would hold up the last piece. */
  readonly onSent: (facts: ResponseFacts, contents: ResponseContents, tookMs: number) => void;
  readonly now: () => number;
}

/** A large response on its way to Envoy: each piece leaves when it has come, and memory holds no more than Envoy is behind. */
export class PassingResponse implements PieceHandler {
  readonly #options: PassingResponseOptions;
  readonly #scanner: ResponseScanner;
  #waitedMs = 0;
  #writer: PieceWriter | undefined;

  constructor(options: PassingResponseOptions) {
    this.#options = options;
    this.#scanner = new ResponseScanner(options.variant);
  }

  piece(bytes: Buffer, isLast: boolean): Promise<void> | void {
    this.#scanner.push(bytes);
    if (isLast && !this.#scanner.isWhole) throw new Error("the response ends within a field");
    return this.#writer === undefined ? this.#begin(bytes, isLast) : this.#write(this.#writer, bytes, isLast);
  }

  async #begin(bytes: Buffer, isLast: boolean): Promise<void> {
    this.#writer = await this.#timed(this.#options.begin());
    await this.#write(this.#writer, bytes, isLast);
  }

  #write(writer: PieceWriter, bytes: Buffer, isLast: boolean): Promise<void> | void {
    const room = isLast ? this.#writeLast(writer, bytes) : writer.write(bytes);
    return room instanceof Promise ? this.#timed(room) : undefined;
  }

  #writeLast(writer: PieceWriter, bytes: Buffer): Promise<void> | void {
    const { facts, contents } = this.#scanner;
    const { onRead, onSent, now } = this.#options;
    onRead(facts);
    const startMs = now();
    return writer.write(bytes, () => onSent(facts, contents, this.#waitedMs + now() - startMs));
  }

  async #timed<T>(waiting: Promise<T>): Promise<T> {
    const startMs = this.#options.now();
    const result = await waiting;
    this.#waitedMs += this.#options.now() - startMs;
    return result;
  }
}
