/** Longest time on the event loop without a break; the agent's aim is 5 ms in all. */
const MOST_TURN_MS = 2;

/** Lets long work share the event loop: it checks `isOver` between its steps, and awaits `next()` when that is true. */
export class Turns {
  #sinceMs = performance.now();

  get isOver(): boolean {
    return performance.now() - this.#sinceMs > MOST_TURN_MS;
  }

  /** Lets everybody else go first. */
  async next(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.#sinceMs = performance.now();
  }
}
