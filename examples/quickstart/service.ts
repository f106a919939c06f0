import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** A service that tells what reached it. */
export interface ExampleService extends AsyncDisposable {
  readonly port: number;
}

/** Starts it on 127.0.0.1; port 0 takes a free one. */
export async function startExampleService(port = 0): Promise<ExampleService> {
  const server = createServer((request, response) => {
    const { method, url: path, headers } = request;
    response.setHeader("content-type", "application/json");
    response.end(`${JSON.stringify({ service: "quickstart", method, path, headers }, null, 2)}\n`);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
