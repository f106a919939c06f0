import type { Socket } from "node:net";

/** From connecting to the first call. gRPC clients connect when there is something to ask. */
const FIRST_CALL_MS = 10_000;

/**
 * The calls of each connection of a server. A connection without one, be it for half a TLS hello or half an HTTP/2
 * preface, is cut off after 10 s. How much was received does not show it: Bun counts no bytes of a connection that HTTP/2
 * has taken over.
 */
export class ConnectionCalls implements Disposable {
  /** Connections without a call so far, each with the timer that cuts it. */
  readonly #silent = new Map<Socket, NodeJS.Timeout>();
  readonly #open = new WeakMap<Socket, number>();

  arrive(connection: Socket): void {
    this.#silent.set(
      connection,
      setTimeout(() => connection.destroy(), FIRST_CALL_MS),
    );
    connection.once("close", () => this.#speak(connection));
  }

  begin(connection: Socket): void {
    this.#speak(connection);
    this.#count(connection, 1);
  }

  end(connection: Socket): void {
    this.#count(connection, -1);
  }

  /**
   * For `BoundSocket.handOver`: 0 for a connection with an open call, which stays; 1 when all its calls are over, 2 when it
   * made none. The highest is closed first.
   */
  spare(connection: Socket): 0 | 1 | 2 {
    if (this.#silent.has(connection)) return 2;
    return this.#open.get(connection) ? 0 : 1;
  }

  [Symbol.dispose](): void {
    for (const connection of [...this.#silent.keys()]) this.#speak(connection);
  }

  #speak(connection: Socket): void {
    clearTimeout(this.#silent.get(connection));
    this.#silent.delete(connection);
  }

  #count(connection: Socket, change: number): void {
    this.#open.set(connection, (this.#open.get(connection) ?? 0) + change);
  }
}
