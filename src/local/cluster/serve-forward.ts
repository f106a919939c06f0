import type { Socket } from "node:net";
import { createServer } from "node:net";
import { AgentError, describeError, systemCode } from "../../base/index.ts";

const HOST = "127.0.0.1";

/** A port of this machine. Disposing closes it and its connections. */
export interface ServedForward extends AsyncDisposable {
  readonly port: number;
}

/**
 * Listens on 127.0.0.1, with 0 on a free port, and gives each connection to `carry`, which reads and ends it; `gone` aborts
 * when its client leaves, or all is to end. Rejects with ADDRESS_IN_USE.
 */
export async function serveForward(
  port: number,
  carry: (socket: Socket, gone: AbortSignal) => Promise<void>,
): Promise<ServedForward> {
  const open = new Map<Socket, Promise<void>>();
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) => {
    const gone = new AbortController();
    socket.on("error", () => undefined); // "close" follows
    socket.once("close", () => gone.abort(new Error("the client is gone")));
    open.set(
      socket,
      carry(socket, gone.signal).finally(() => open.delete(socket)),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("listening", resolve).once("error", (error) => reject(notListening(port, error)));
    server.listen(port, HOST);
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : port,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((done) => server.close(done));
      for (const socket of open.keys()) socket.destroy();
      await Promise.all([closed, ...open.values()]);
    },
  };
}

function notListening(port: number, error: unknown): AgentError {
  const isTaken = systemCode(error) === "EADDRINUSE";
  const text = `Cannot listen on ${HOST}:${port}: ${isTaken ? "something else does" : describeError(error)}`;
  return new AgentError("ADDRESS_IN_USE", text, {
    hint: "Take another with --port; without it a free one is taken",
    cause: error,
  });
}
