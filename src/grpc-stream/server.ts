import { createServer, type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { BoundSocket } from "../base/index.ts";
import { type Keepalive, keepAlive } from "./keepalive.ts";
import { isGrpcCall, refuse, type ServerStream, serverStream } from "./server-stream.ts";

export interface GrpcStreamServerOptions {
  /** Bound by the caller, who also closes it; connections that came early are served first. */
  readonly socket: BoundSocket;
  /** By path, `/package.Service/Method`. Every other is UNIMPLEMENTED. */
  readonly methods: Readonly<Record<string, (stream: ServerStream) => void>>;
  /** Of one connection. */
  readonly maxStreams: number;
  /** Default: the other side is never pinged. */
  readonly keepalive?: Keepalive;
}

/** From connecting to the first call. gRPC clients connect when there is something to ask. */
const FIRST_CALL_MS = 10_000;

/**
 * Serves streaming gRPC methods in plaintext to the connections of a bound socket, until it is disposed of, which cuts
 * them. A connection without a call, be it for half an HTTP/2 preface, is cut off after 10 s, and gives way to others
 * where the socket has a limit. How much was received does not show it: Bun counts no bytes of a connection that HTTP/2
 * has taken over.
 */
export function serveGrpcStreams({ socket, methods, maxStreams, keepalive }: GrpcStreamServerOptions): Disposable {
  const sessions = new Set<ServerHttp2Session>();
  /** By connection: who has made no call yet. */
  const silent = new Map<Socket, NodeJS.Timeout>();
  /** By connection, its calls. */
  const open = new WeakMap<Socket, number>();
  const server = createServer({
    settings: { maxConcurrentStreams: maxStreams, enablePush: false },
    maxSessionMemory: UNLIMITED, // what a stream may hold is the business of its method
  });
  let arriving: Socket | undefined;
  let isOver = false;
  const speak = (connection: Socket): void => {
    clearTimeout(silent.get(connection));
    silent.delete(connection);
  };
  const count = (connection: Socket, change: number): void =>
    void open.set(connection, (open.get(connection) ?? 0) + change);
  server.on("session", (session) => {
    const connection = arriving; // the session of a connection is made at once
    sessions.add(session);
    session.on("error", () => session.destroy());
    session.once("close", () => sessions.delete(session));
    if (keepalive !== undefined) keepAlive(session, keepalive, () => session.destroy());
    session.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      const path = headers[":path"] ?? "";
      if (!isGrpcCall(headers) || !Object.hasOwn(methods, path)) return refuse(stream, headers);
      if (connection !== undefined) {
        speak(connection);
        count(connection, 1);
        stream.once("close", () => count(connection, -1));
      }
      methods[path]?.(serverStream(stream, headers));
    });
  });
  server.on("sessionError", () => undefined); // a client that does not speak HTTP/2 is no event
  socket.handOver(
    (connection) => {
      if (isOver) return void connection.destroy();
      silent.set(
        connection,
        setTimeout(() => connection.destroy(), FIRST_CALL_MS),
      );
      connection.once("close", () => speak(connection));
      arriving = connection;
      server.emit("connection", connection);
      arriving = undefined;
    },
    (connection) => (silent.has(connection) ? 2 : open.get(connection) ? 0 : 1),
  );
  return {
    [Symbol.dispose]() {
      isOver = true;
      for (const connection of [...silent.keys()]) speak(connection);
      for (const session of sessions) session.destroy();
    },
  };
}

const UNLIMITED = Number.MAX_SAFE_INTEGER;
