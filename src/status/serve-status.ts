import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type BoundSocket, describeError, escapeLine, HttpConnections, type Logger } from "../base/index.ts";
import { send } from "./reply.ts";
import { createRouter, type Route, type Router } from "./route.ts";

export interface StatusOptions {
  /** Bound by the caller, who also closes it; connections that came early are served first. */
  readonly socket: BoundSocket;
  readonly routes: readonly Route[];
  readonly log: Logger;
}

/** A status server that answers until it is disposed of, also while Envoy drains. */
export interface StatusServer extends AsyncDisposable {
  readonly port: number;
}

/** Envoy keeps idle connections to the agent for an hour; closing earlier would race with its next request. */
const IDLE_CONNECTION_MS = 61 * 60_000;
/** A request that stalls this long is dropped; profiles and slow scrapes stay well below. */
const STALLED_REQUEST_MS = 5 * 60_000;

/**
 * Serves the routes on the status port. `stop` gives up the start
 * and reloads only: the port keeps answering while Envoy drains, until disposal cuts what is open.
 */
export async function serveStatus(options: StatusOptions, stop: AbortSignal): Promise<StatusServer> {
  stop.throwIfAborted();
  const router = createRouter(options.routes);
  const connections = new HttpConnections();
  const server = createServer((request, response) => {
    connections.noteRequest(request, response);
    void answer(request, response, { ...options, router }, stop);
  });
  server.keepAliveTimeout = IDLE_CONNECTION_MS;
  server.setTimeout(STALLED_REQUEST_MS);
  options.socket.handOver(
    (connection) => {
      connections.add(connection);
      connection.once("readable", () => server.emit("connection", connection)); // who says nothing costs no parser
    },
    (connection) => connections.spare(connection),
  );
  options.log.info("Opening status port", { port: options.socket.port });
  return {
    port: options.socket.port,
    async [Symbol.asyncDispose]() {
      connections.destroy();
      options.log.info("Status server has successfully terminated");
    },
  };
}

/** Never rejects: whatever fails becomes a 500 or the end of the connection. */
async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: StatusOptions & { readonly router: Router },
  stop: AbortSignal,
): Promise<void> {
  try {
    const outcome = await options.router(request, stop);
    await send(request, response, outcome);
    outcome.afterwards?.();
  } catch (error) {
    options.log.error("status request failed", { path: request.url, reason: describeError(error) });
    if (response.headersSent) response.destroy();
    else response.writeHead(500).end(`${escapeLine(describeError(error))}\n`);
  }
}
