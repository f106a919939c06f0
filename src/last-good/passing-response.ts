import type { Variant } from "../proto/ads-variant.ts";
import { isKept } from "./kept-types.ts";
import { holdsPrivateKey } from "./private-keys.ts";
import { type ReadResource, ResponseReader } from "./read-response.ts";
import type { Acceptance, Store } from "./store.ts";
import type { WorkQueue } from "./work-queue.ts";

/** Takes a response as its bytes pass. */
export interface ResponseSink {
  write(chunk: Uint8Array): void;
  /** The message is complete. */
  end(): void;
}

/** Read at once; takes a fraction of a millisecond. */
const SLICE_BYTES = 64 * 1_024;

/** A response on its way from the control plane to Envoy: goes to the store while it passes, and counts there once Envoy accepts it. */
export class PassingResponse implements ResponseSink {
  readonly #reader: ResponseReader;
  readonly #store: Store;
  readonly #queue: WorkQueue;
  readonly #isWanted: () => boolean;
  readonly #onEnd: (response: PassingResponse) => Promise<void>;
  /** Its number in the store. */
  #number: number | undefined;
  #isLost = false;
  #flaw: string | undefined;

  /** `onEnd` is called, as work of the queue, once all of it was read; what is not wanted is read only for that. */
  constructor(
    variant: Variant,
    to: {
      readonly store: Store;
      readonly queue: WorkQueue;
      readonly isWanted: () => boolean;
      readonly onEnd: (one: PassingResponse) => Promise<void>;
    },
  ) {
    this.#reader = new ResponseReader(variant);
    this.#store = to.store;
    this.#queue = to.queue;
    this.#isWanted = to.isWanted;
    this.#onEnd = to.onEnd;
  }

  get typeUrl(): string {
    return this.#reader.typeUrl;
  }

  get nonce(): string {
    return this.#reader.nonce;
  }

  get version(): string {
    return this.#reader.version;
  }

  get names(): ReadonlySet<string> {
    return this.#reader.names;
  }

  get removed(): readonly string[] {
    return this.#reader.removed;
  }

  /** Why it must not be kept; half a sentence. */
  get flaw(): string | undefined {
    return this.#reader.flaw ?? this.#flaw;
  }

  /** Whether it could not be stored: the disk is full, or slower than the control plane. */
  get isLost(): boolean {
    return this.#isLost;
  }

  write(chunk: Uint8Array): void {
    this.#isLost ||= !this.#queue.add(chunk.length, () => this.#take(chunk));
  }

  end(): void {
    void this.#queue.run(async () => {
      this.#reader.end();
      if (this.#reader.names.size === 0 && isKept(this.typeUrl) && this.#isWanted()) await this.#begin(this.typeUrl);
      if (this.flaw !== undefined || this.#isLost) this.drop();
      await this.#onEnd(this);
    });
  }

  /** Envoy accepted it. False where it could not be stored. */
  async accept(acceptance: Acceptance): Promise<boolean> {
    return this.#number !== undefined && (await this.#store.accept(this.#number, acceptance));
  }

  drop(): void {
    if (this.#number !== undefined) this.#store.drop(this.#number);
    this.#number = undefined;
  }

  async #take(chunk: Uint8Array): Promise<void> {
    const { turns } = this.#queue;
    for (let at = 0; at < chunk.length; at += SLICE_BYTES) {
      for (const resource of this.#reader.write(chunk.subarray(at, at + SLICE_BYTES))) {
        await this.#put(resource);
        if (turns.isOver) await turns.next();
      }
    }
  }

  async #put({ typeUrl, ...resource }: ReadResource): Promise<void> {
    if (this.#isLost || this.flaw !== undefined || !isKept(typeUrl) || !this.#isWanted()) return;
    if (await holdsPrivateKey(resource.value, this.#queue.turns)) {
      this.#flaw = `resource "${resource.name}" holds a private key`;
      return;
    }
    await this.#begin(typeUrl);
    if (this.#number === undefined || !(await this.#store.put(this.#number, resource))) this.#isLost = true;
  }

  async #begin(typeUrl: string): Promise<void> {
    this.#number ??= await this.#store.begin(typeUrl);
    if (this.#number === undefined) this.#isLost = true;
  }
}
