import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type BoundSocket, HttpConnections } from "../../base/index.ts";
import type { Debug } from "./create-debug.ts";

/** Serves the debug endpoints over HTTP, as istiod does on 8080 and 15014; here to this machine alone, and to no web page. Who does not finish a request within 10 s is cut off. */
export async function serveDebug(socket: BoundSocket, debug: Debug): Promise<AsyncDisposable> {
  const connections = new HttpConnections();
  const server = createServer((request, response) => {
    connections.noteRequest(request, response);
    answer(request, response, debug);
  });
  socket.handOver(
    (connection) => {
      connections.add(connection);
      server.emit("connection", connection);
    },
    (connection) => connections.spare(connection),
  );
  return {
    async [Symbol.asyncDispose]() {
      connections.destroy();
    },
  };
}

function answer(request: IncomingMessage, response: ServerResponse, debug: Debug): void {
  const send = (status: number, text: string, type = "text/plain; charset=utf-8"): void => {
    response.writeHead(status, { "content-type": type, "x-content-type-options": "nosniff" }).end(text);
  };
  if (!isForThisMachine(request)) send(403, "Only requests to localhost, and of no web page, are answered\n");
  else if (request.method !== "GET" && request.method !== "HEAD") send(405, "GET is the only method\n");
  else {
    const [path = "", query = ""] = (request.url ?? "").split("?", 2);
    const [, command = ""] = /^\/debug\/(\w+)$/.exec(path) ?? [];
    const words = new URLSearchParams(query);
    const { status, body } = debug.ask(command, words);
    if (typeof body === "string") send(status, `${body}\n`);
    else send(status, JSON.stringify(body, null, words.has("pretty") ? 2 : undefined), "application/json");
  }
}

/** A page of another name that leads here is not to read it: DNS rebinding. */
function isForThisMachine({ headers: { host = "", origin, "sec-fetch-site": site } }: IncomingMessage): boolean {
  const name = host.toLowerCase().replace(/:\d+$/, "");
  const isOwnPage = origin === undefined && (site === undefined || site === "none" || site === "same-origin");
  return isOwnPage && (name === "localhost" || name === "[::1]" || /^127(\.\d{1,3}){3}$/.test(name));
}
