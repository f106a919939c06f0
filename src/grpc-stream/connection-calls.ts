import type { ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";

/** From connecting to the first call. gRPC clients connect when there is something to ask. */
const FIRST_CALL_MS = 10_000;
/** From GOAWAY to the cut. A client closes its connection once it has read that. */
const GOODBYE_MS = 1_000;

/**
 * The calls of each connection of a server. A connection without one is closed after 10 s: with GOAWAY, after which a
 * client's next call goes to a new connection, or without a word for half a TLS hello. How much was received does not
 * show it: Bun counts no bytes of a connection that HTTP/2 has taken over.
 */
export class ConnectionCalls implements Disposable {
  /** Connections without a call so far, each with the timer that closes it. */
  readonly #silent = new Map<Socket, NodeJS.Timeout>();
  readonly #sessions = new WeakMap<Socket, ServerHttp2Session>();
  /** Of connections with an admitted call, how many are open. */
  readonly #open = new WeakMap<Socket, number>();

  arrive(connection: Socket): void {
    const dismiss = (): void => this.#dismiss(connection);
    this.#silent.set(connection, setTimeout(dismiss, FIRST_CALL_MS));
    connection.once("close", () => this.#forget(connection));
  }

  /** Calls of this connection come by that session. One that is refused counts as the first call as well. */
  watch(connection: Socket, session: ServerHttp2Session): void {
    this.#sessions.set(connection, session);
    session.once("stream", () => this.#forget(connection));
  }

  begin(connection: Socket): void {
    this.#count(connection, 1);
  }

  end(connection: Socket): void {
    this.#count(connection, -1);
  }

  /**
   * For `BoundSocket.handOver`: 0 for a connection with an open call, which stays; 1 when all its calls are over, 2 when
   * none was admitted. The highest is closed first.
   */
  spare(connection: Socket): 0 | 1 | 2 {
    const open = this.#open.get(connection);
    if (open === undefined) return 2;
    return open > 0 ? 0 : 1;
  }

  [Symbol.dispose](): void {
    for (const connection of [...this.#silent.keys()]) this.#forget(connection);
  }

  #dismiss(connection: Socket): void {
    const session = this.#sessions.get(connection);
    if (session === undefined) return void connection.destroy();
    session.close();
    this.#silent.set(
      connection,
      setTimeout(() => connection.destroy(), GOODBYE_MS),
    );
  }

  #forget(connection: Socket): void {
    clearTimeout(this.#silent.get(connection));
    this.#silent.delete(connection);
  }

  #count(connection: Socket, change: number): void {
    this.#open.set(connection, (this.#open.get(connection) ?? 0) + change);
  }
}
