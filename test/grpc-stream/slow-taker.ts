// A server that ends behind its last bytes, and a taker that is slower, on whatever runtime runs this file: prints one JSON line.
import { createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { openGrpcStream } from "../../src/grpc-stream/client.ts";
import { framed } from "./framed.ts";

type Ending = "stays" | "closes" | "breaks";

/** What a server of `count` messages and trailers got across. */
async function take(count: number, bytes: number, ending: Ending, inPieces: boolean) {
  const server = createServer();
  server.on("stream", (stream) => serve(stream, count, bytes, ending));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  let taken = 0;
  const slowly = async (part: Buffer): Promise<void> => {
    taken += part.length;
    await delay(5);
  };
  const call = openGrpcStream({
    ...{ address, authority: address, tls: "plaintext", method: "/a.B/C", headers: [] },
    ...{ connectLimitMs: 10_000, mostMessageBytes: 2 ** 20 },
    handler: { message: slowly, ...(inPieces ? { large: () => ({ piece: slowly }) } : {}) },
  });
  call.send(Buffer.from("x"));
  const { code } = await call.status;
  call.close();
  server.close();
  return { code, isWhole: taken === count * bytes };
}

function serve(stream: ServerHttp2Stream, count: number, bytes: number, ending: Ending): void {
  stream.on("error", () => undefined);
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  for (let sent = 0; sent < count; sent++) stream.write(framed(Buffer.alloc(bytes, sent)));
  stream.once("wantTrailers", () => {
    stream.sendTrailers({ "grpc-status": "7" });
    if (ending === "closes") setImmediate(() => stream.session?.close());
    if (ending === "breaks") setTimeout(() => stream.session?.destroy(), 20);
  });
  stream.end();
}

async function main(): Promise<void> {
  const seen: Record<string, object> = {};
  for (const ending of ["stays", "closes", "breaks"] as const) {
    seen[`small, ${ending}`] = await take(10, 1_000, ending, false);
    seen[`collected, ${ending}`] = await take(10, 60_000, ending, false);
    seen[`pieces, ${ending}`] = await take(2, 100_000, ending, true);
  }
  console.log(JSON.stringify(seen));
  process.exit(0);
}

void main();
