import { once } from "node:events";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer, type Socket } from "node:net";
import { onTestFinished } from "vitest";

type OnStream = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

/** An HTTP/2 server that is none of ours. Resolves with its address. */
export async function startH2(onStream: OnStream): Promise<string> {
  const sessions = new Set<{ destroy(): void }>();
  const server = createServer();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => undefined);
  });
  server.on("stream", (stream, headers) => {
    stream.on("error", () => undefined);
    onStream(stream, headers);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A server of bytes. Resolves with its address. */
export async function startTcp(onSocket: (socket: Socket) => void, host = "127.0.0.1", port = 0): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket.on("error", () => undefined));
    onSocket(socket);
  });
  server.listen(port, host);
  await once(server, "listening");
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `${host}:${(server.address() as AddressInfo).port}`;
}

/** An HTTP/2 client that is none of ours, on a UNIX socket. */
export function openH2(path: string, settings: object = {}): ClientHttp2Session {
  const session = connect("http://localhost", { createConnection: () => connectTcp(path), settings });
  session.on("error", () => undefined);
  onTestFinished(() => session.destroy());
  return session;
}

export const CALL = { ":method": "POST", "content-type": "application/grpc", te: "trailers" };

export interface H2Answer {
  readonly headers: IncomingHttpHeaders & { readonly ":status"?: number };
  readonly trailers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly resetCode: number;
}

/** What came back on a stream, once it is closed. */
export async function answerOf(stream: ClientHttp2Stream): Promise<H2Answer> {
  const parts: Buffer[] = [];
  let [headers, trailers]: IncomingHttpHeaders[] = [{}, {}];
  stream.on("response", (got) => {
    headers = got;
  });
  stream.on("trailers", (got) => {
    trailers = got;
  });
  stream.on("data", (part: Buffer) => parts.push(part));
  stream.on("error", () => undefined);
  await once(stream, "close");
  return {
    headers: headers ?? {},
    trailers: trailers ?? {},
    body: Buffer.concat(parts),
    resetCode: stream.rstCode ?? 0,
  };
}
