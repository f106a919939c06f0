import { createServer, type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { BoundSocket } from "../base/index.ts";
import { type StreamStatus, statusOf } from "../grpc/index.ts";
import { ConnectionCalls } from "./connection-calls.ts";
import { type Keepalive, keepAlive } from "./keepalive.ts";
import { isGrpcCall, refuse, refuseWith, type ServerStream, serverStream } from "./server-stream.ts";

export interface GrpcStreamServerOptions {
  /** Bound by the caller, who also closes it; connections that came early are served first. */
  readonly socket: BoundSocket;
  /** By path, `/package.Service/Method`. Every other is UNIMPLEMENTED. */
  readonly methods: Readonly<Record<string, (stream: ServerStream) => void>>;
  /** Of one connection. */
  readonly maxStreams: number;
  /** Default: the other side is never pinged. */
  readonly keepalive?: Keepalive;
  /** Speaks TLS on a connection, and calls `take` once that stands. Default: plaintext. */
  readonly secure?: (connection: Socket, take: (secured: Socket) => void) => void;
  /** Asked before a byte of a call's messages is read; a status refuses the call. Default: every call is admitted. */
  readonly admit?: (call: ServerStream) => Promise<StreamStatus | undefined>;
}

/**
 * Serves streaming gRPC methods to the connections of a bound socket, until it is disposed of, which cuts them. A
 * connection without a call is closed after 10 s; one without an admitted call gives way to others where the socket has a
 * limit.
 */
export function serveGrpcStreams(options: GrpcStreamServerOptions): Disposable {
  const { socket, maxStreams, keepalive, secure } = options;
  const sessions = new Set<ServerHttp2Session>();
  const calls = new ConnectionCalls();
  const server = createServer({
    settings: { maxConcurrentStreams: maxStreams, enablePush: false },
    maxSessionMemory: UNLIMITED, // what a stream may hold is the business of its method
  });
  let isOver = false;
  /** For the connection that is being handed to the server, which makes its session before `emit` returns. */
  let takeSession: (session: ServerHttp2Session) => void = () => undefined;
  server.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => session.destroy());
    session.once("close", () => sessions.delete(session));
    if (keepalive !== undefined) keepAlive(session, keepalive, () => session.destroy());
    takeSession(session);
  });
  server.on("sessionError", () => undefined); // a client that does not speak HTTP/2 is no event
  const serveConnection = (connection: Socket, secured: Socket): void => {
    if (isOver) return void secured.destroy();
    takeSession = (session) => {
      calls.watch(connection, session);
      serveCalls(session, secured, options, (call) => {
        calls.begin(connection);
        void call.closed.then(() => calls.end(connection));
      });
    };
    server.emit("connection", secured);
  };
  socket.handOver(
    (connection) => {
      if (isOver) return void connection.destroy();
      calls.arrive(connection);
      if (secure === undefined) serveConnection(connection, connection);
      else secure(connection, (secured) => serveConnection(connection, secured));
    },
    (connection) => calls.spare(connection),
  );
  return {
    [Symbol.dispose]() {
      isOver = true;
      calls[Symbol.dispose]();
      for (const session of sessions) session.destroy();
    },
  };
}

const UNLIMITED = Number.MAX_SAFE_INTEGER;

/** Gives the calls of a session to their methods; `onCall` hears of each that is admitted. */
function serveCalls(
  session: ServerHttp2Session,
  connection: Socket,
  { methods, admit }: GrpcStreamServerOptions,
  onCall: (call: ServerStream) => void,
): void {
  session.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    const path = headers[":path"] ?? "";
    if (!isGrpcCall(headers) || !Object.hasOwn(methods, path)) return refuse(stream, headers);
    const call = openCall(stream, headers, connection);
    if (call === undefined) return;
    const begin = (): void => {
      onCall(call);
      methods[path]?.(call);
    };
    if (admit === undefined) return begin();
    admit(call).then(
      (refusal) => (refusal === undefined ? begin() : call.finish(refusal)),
      (error) => call.finish(statusOf(error)),
    );
  });
}

/** Undefined for a call whose headers are malformed, which is refused. */
function openCall(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  connection: Socket,
): ServerStream | undefined {
  try {
    return serverStream(stream, headers, connection);
  } catch (error) {
    refuseWith(stream, statusOf(error));
  }
}
