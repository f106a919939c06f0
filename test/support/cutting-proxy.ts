import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface CuttingProxy extends AsyncDisposable {
  readonly address: string;
  /** Connections that were cut. */
  cuts(): number;
  /** From now on nothing is cut. */
  heal(): void;
}

/**
 * Passes bytes between its clients and `target` (`host:port`), and cuts a connection when that many came back. `stall`
 * keeps it open instead, without another byte.
 */
export async function startCuttingProxy(
  target: string,
  { afterBytes, stall = false }: { readonly afterBytes: number; readonly stall?: boolean },
): Promise<CuttingProxy> {
  const [host = "", port = ""] = target.split(":");
  const open = new Set<Socket>();
  let [cuts, isHealed] = [0, false];
  const server = createServer((client) => {
    const upstream = connect(Number(port), host);
    let bytes = 0;
    client.pipe(upstream);
    upstream.on("data", (piece) => {
      bytes += piece.length;
      if (isHealed || bytes <= afterBytes) {
        if (!client.write(piece)) upstream.pause();
        return;
      }
      upstream.pause();
      cuts++;
      if (!stall) for (const socket of [client, upstream]) socket.destroy();
    });
    client.on("drain", () => upstream.resume());
    upstream.on("end", () => client.end());
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => {
        open.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    cuts: () => cuts,
    heal: () => {
      isHealed = true;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
