import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** From the first byte of a request to its last, and from connecting to the first one. */
const REQUEST_MS = 10_000;
const LOOK_EVERY_MS = 1_000;

interface Connection {
  /** The last one whose bytes are not all there, or whose answer has not left. */
  request: IncomingMessage | undefined;
  isAnswering: boolean;
  /** What had been received when nothing was under way; more is the beginning of a request. */
  quietBytes: number;
  /** Since when a request is awaited, or is arriving; undefined while the connection rests between two. */
  sinceMs: number | undefined;
}

/**
 * The connections of a server that does not listen itself: Node neither counts those nor applies `headersTimeout` and
 * `requestTimeout` to them. A client that does not finish a request is cut off; one that rests between two requests is not.
 */
export class HttpConnections {
  readonly #all = new Map<Socket, Connection>();
  /** Runs while there is a connection: an idle agent is not woken up. */
  #timer: NodeJS.Timeout | undefined;

  add(socket: Socket): void {
    this.#all.set(socket, { request: undefined, isAnswering: false, quietBytes: 0, sinceMs: performance.now() });
    this.#timer ??= setInterval(() => this.#cutLate(performance.now()), LOOK_EVERY_MS).unref();
    socket.once("close", () => {
      this.#all.delete(socket);
      if (this.#all.size === 0) this.#stopTimer();
    });
  }

  noteRequest(request: IncomingMessage, response: ServerResponse): void {
    const connection = this.#all.get(request.socket);
    if (connection === undefined) return;
    connection.request = request;
    connection.isAnswering = true;
    connection.sinceMs ??= performance.now();
    response.once("close", () => {
      if (connection.request !== request) return; // the next one is under way
      connection.isAnswering = false;
      settle(connection, request.socket, performance.now()); // at once: what comes from now on is the next request
    });
  }

  /** A connection without a request goes first, then one that rests between two; 0: one that is being answered stays. */
  spare(socket: Socket): number {
    const connection = this.#all.get(socket);
    if (connection?.isAnswering === true) return 0;
    return connection?.sinceMs === undefined ? 1 : 2;
  }

  destroy(): void {
    this.#stopTimer();
    for (const socket of this.#all.keys()) socket.destroy();
  }

  #stopTimer(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #cutLate(nowMs: number): void {
    for (const [socket, connection] of this.#all) {
      settle(connection, socket, nowMs);
      if (connection.sinceMs !== undefined && nowMs - connection.sinceMs > REQUEST_MS) socket.destroy();
    }
  }
}

/** Whether the connection waits for bytes by now, as far as can be seen without touching them. */
function settle(connection: Connection, socket: Socket, nowMs: number): void {
  if (connection.request?.complete === true) {
    connection.sinceMs = undefined; // however long the answer takes
    if (connection.isAnswering) return;
    connection.request = undefined;
    connection.quietBytes = socket.bytesRead;
  } else if (connection.request === undefined && socket.bytesRead > connection.quietBytes) {
    connection.sinceMs ??= nowMs;
  }
}
