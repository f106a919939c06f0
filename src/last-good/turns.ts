/** So much of the event loop's time is taken at once; the agent's aim is 5 ms for all that it does. */
const MOST_TURN_MS = 2;

/** Shares the event loop: work that goes on for long asks now and then, and lets others go first. */
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
