import type { ClientRequest, IncomingMessage } from "node:http";

/**
 * Sends a request and resolves with its response. Rejects with what the request fails with, and also when its connection
 * ends without a response: to `101 Switching Protocols`, which nobody here asks for, Node and Bun close the connection
 * and say nothing of it, not even when the request's signal aborts later.
 */
export function responseTo(request: ClientRequest, body?: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once("response", resolve);
    request.on("error", reject); // stays: a failure after the response is the body's, too
    request.once("close", () => reject(new Error("the connection ended without an answer")));
    request.end(body);
  });
}
