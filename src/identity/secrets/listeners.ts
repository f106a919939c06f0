/** What happens when a name begins and ceases to be of interest. */
export interface Interest {
  onFirst(): void;
  onLast(): void;
}

/** The listeners of each name. */
export class Listeners {
  readonly #byName = new Map<string, Set<() => void>>();

  /** Returns how to stop listening. */
  add(name: string, listener: () => void, interest?: Interest): () => void {
    const known = this.#byName.get(name);
    const listeners = known ?? new Set();
    const own = (): void => listener(); // the same function may listen twice
    listeners.add(own);
    if (known === undefined) {
      this.#byName.set(name, listeners);
      interest?.onFirst();
    }
    return () => {
      if (!listeners.delete(own) || listeners.size > 0) return;
      this.#byName.delete(name);
      interest?.onLast();
    };
  }

  notify(name: string): void {
    for (const listener of [...(this.#byName.get(name) ?? [])]) listener();
  }
}
