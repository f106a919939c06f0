import { Turns } from "./turns.ts";

/** Work that is done one after another. Bounded where it holds memory. */
export class WorkQueue {
  /** Of the event loop, for all work together. */
  readonly turns = new Turns();
  readonly #mostBytes: number;
  #waitingBytes = 0;
  #tail: Promise<void> = Promise.resolve();

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  /**
   * Does the work after all that was added before. `bytes` is what it holds in memory until then. False, and it is not
   * done, where more than the limit waits already. The work must not reject.
   */
  add(bytes: number, work: () => Promise<void>): boolean {
    if (this.#waitingBytes > this.#mostBytes) return false;
    this.#waitingBytes += bytes;
    void this.run(work).finally(() => {
      this.#waitingBytes -= bytes;
    });
    return true;
  }

  /** The same for work without much memory; resolves with its result. Rejects as the work does. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#tail.then(work);
    const rest = (): Promise<void> | undefined => (this.turns.isOver ? this.turns.next() : undefined);
    this.#tail = done.then(rest, rest); // of a failure the caller hears
    return done;
  }

  /** Resolves when everything that was added is done. */
  async idle(): Promise<void> {
    await this.#tail;
  }
}
