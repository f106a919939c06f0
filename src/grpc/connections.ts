import type { Socket } from "node:net";
import type { Server, ServerCredentials } from "@grpc/grpc-js";
import type { BoundSocket } from "../base/index.ts";

/** The connections of a gRPC server that does not listen itself. */
export interface GrpcConnections {
  /** A call came: the connection that it came by is served, and stays. */
  noteCall(call: Caller): void;
  destroy(): void;
}

/** As gRPC gives its handlers and interceptors. */
export interface Caller {
  /** `address:port`. */
  getPeer(): string;
}

/** From connecting to the first call. gRPC clients connect when there is something to ask. */
const FIRST_CALL_MS = 10_000;

/**
 * Gives a gRPC server the connections of a bound socket. Who has made no call, be it for half a TLS hello or half an
 * HTTP/2 preface, is cut off after 10 s, and gives way to others where the socket has a limit. How much was received
 * does not show it: Bun counts no bytes of a connection that HTTP/2 has taken over.
 */
export function serveGrpcConnections(
  server: Server,
  credentials: ServerCredentials,
  socket: BoundSocket,
): GrpcConnections {
  const injector = server.createConnectionInjector(credentials);
  const silent = new Map<string, NodeJS.Timeout>();
  let lastNumber = 0;
  const forget = (peer: string): void => {
    clearTimeout(silent.get(peer));
    silent.delete(peer);
  };
  socket.handOver(
    (connection) => {
      if (connection.remoteAddress === undefined) nameUnixPeer(connection, ++lastNumber);
      const peer = peerOf(connection);
      silent.set(
        peer,
        setTimeout(() => connection.destroy(), FIRST_CALL_MS),
      );
      connection.once("close", () => forget(peer));
      injector.injectConnection(connection);
    },
    (connection) => (silent.has(peerOf(connection)) ? 1 : 0),
  );
  return {
    noteCall: (call) => forget(call.getPeer()),
    destroy() {
      for (const peer of [...silent.keys()]) forget(peer);
      injector.destroy();
    },
  };
}

/** As `getPeer` makes it. */
function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress}:${remotePort}`;
}

/** Clients of a UNIX socket have no address by which a call could tell its connection. */
function nameUnixPeer(connection: Socket, number: number): void {
  Object.defineProperties(connection, { remoteAddress: { value: "unix" }, remotePort: { value: number } });
}
