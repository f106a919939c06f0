import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { describeError, escapeLine } from "../base/index.ts";
import { Connections } from "./connections.ts";
import type { StatusOptions } from "./options.ts";
import { send } from "./reply.ts";
import { route } from "./routes.ts";

/** A status server that answers until it is disposed of, also while Envoy drains. */
export interface StatusServer extends AsyncDisposable {
  readonly port: number;
}

/** Envoy keeps idle connections to the agent for an hour; closing earlier would race with its next request. */
const IDLE_CONNECTION_MS = 61 * 60_000;
/** A request that stalls this long is dropped; profiles and slow scrapes stay well below. */
const STALLED_REQUEST_MS = 5 * 60_000;

/**
 * Serves the status port: readiness, merged metrics, quit, drain and debug pages. `stop` gives up the start
 * and reloads only: the port keeps answering while Envoy drains, until disposal cuts what is open.
 */
export async function serveStatus(options: StatusOptions, stop: AbortSignal): Promise<StatusServer> {
  stop.throwIfAborted();
  const connections = new Connections();
  const server = createServer((request, response) => {
    connections.noteRequest(request, response);
    void answer(request, response, options, stop);
  });
  server.keepAliveTimeout = IDLE_CONNECTION_MS;
  server.setTimeout(STALLED_REQUEST_MS);
  options.socket.handOver(
    (connection) => {
      connections.add(connection);
      server.emit("connection", connection);
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
  options: StatusOptions,
  stop: AbortSignal,
): Promise<void> {
  try {
    const outcome = await route(request, options, stop);
    await send(request, response, outcome);
    outcome.afterwards?.();
  } catch (error) {
    options.log.error("status request failed", { path: request.url, reason: describeError(error) });
    if (response.headersSent) response.destroy();
    else response.writeHead(500).end(`${escapeLine(describeError(error))}\n`);
  }
}
