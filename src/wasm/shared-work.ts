/** Work that several want at the same time is done once, and given up when nobody wants it any more. */
export class SharedWork<T> {
  readonly #running = new Map<string, Running<T>>();
  /** Also work that was given up and has not ended yet. */
  readonly #all = new Set<Running<T>>();

  /** Rejects with the work's failure, or with the reason of `stop`. */
  async run(key: string, stop: AbortSignal, work: (stop: AbortSignal) => Promise<T>): Promise<T> {
    stop.throwIfAborted();
    const running = this.#running.get(key) ?? this.#begin(key, work);
    running.waiting++;
    let leave: () => void = () => undefined;
    const left = new Promise<never>((_, reject) => {
      leave = () => reject(stop.reason);
      stop.addEventListener("abort", leave, { once: true });
    });
    try {
      return await Promise.race([running.result, left]);
    } finally {
      stop.removeEventListener("abort", leave);
      if (--running.waiting === 0) {
        running.over.abort(stop.reason);
        if (this.#running.get(key) === running) this.#running.delete(key);
      }
    }
  }

  /** Gives everything up; resolves when it has ended. */
  async close(reason: unknown): Promise<void> {
    for (const { over } of this.#all) over.abort(reason);
    await Promise.allSettled([...this.#all].map(({ result }) => result));
  }

  #begin(key: string, work: (stop: AbortSignal) => Promise<T>): Running<T> {
    const over = new AbortController();
    const running = { over, waiting: 0, result: work(over.signal) };
    this.#running.set(key, running);
    this.#all.add(running);
    const ended = (): void => void this.#all.delete(running);
    running.result.then(ended, ended); // everybody may have left
    return running;
  }
}

interface Running<T> {
  readonly result: Promise<T>;
  readonly over: AbortController;
  waiting: number;
}
