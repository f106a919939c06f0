import type { IncomingMessage, ServerResponse } from "node:http";
import type { StatusOptions } from "./serve-status.ts";

type Route = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

export function routeOf(_request: IncomingMessage, options: StatusOptions): Route {
  return async (request, response) => {
    if (request.url !== "/healthz/ready") {
      response.writeHead(404).end("404 page not found\n");
      return;
    }
    const readiness = await options.board.ask();
    response.writeHead(readiness.isReady ? 200 : 503).end(readiness.isReady ? "" : `${readiness.reason}\n`);
  };
}
