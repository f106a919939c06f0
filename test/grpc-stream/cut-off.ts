// Servers that cut a call off, on whatever runtime runs this file: prints one JSON line, the status of each call.
import { createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import type { StreamStatus } from "../../src/grpc/index.ts";
import { openGrpcStream } from "../../src/grpc-stream/client.ts";
import { framed } from "./framed.ts";

const GRPC = { ":status": 200, "content-type": "application/grpc" };

const SERVERS: Readonly<Record<string, (stream: ServerHttp2Stream) => void>> = {
  connection(stream) {
    stream.respond(GRPC);
    stream.session?.ping(() => stream.session?.destroy());
  },
  farewell(stream) {
    stream.respond(GRPC);
    stream.session?.goaway(0, 1, Buffer.from("moving house"));
    stream.session?.ping(() => stream.session?.destroy());
  },
  page(stream) {
    stream.respond({ ":status": 503, "content-type": "text/plain" });
    stream.write("no healthy upstream");
  },
  encoding(stream) {
    stream.respond({ ...GRPC, "grpc-encoding": "br" });
    stream.write(framed(Buffer.from("x"), 1));
  },
  noStatus(stream) {
    stream.respond(GRPC);
    stream.end();
  },
};

async function statusFrom(serve: (stream: ServerHttp2Stream) => void): Promise<StreamStatus> {
  const server = createServer();
  server.on("session", (session) => session.on("error", () => undefined));
  server.on("stream", (stream) => serve(stream.on("error", () => undefined)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const call = openGrpcStream({
    ...{ address, authority: address, tls: "plaintext", method: "/a.B/C", headers: [] },
    ...{ connectLimitMs: 10_000, mostMessageBytes: 2 ** 20, handler: { message: () => undefined } },
  });
  call.send(Buffer.from("x"));
  const status = await call.status;
  call.close();
  return status;
}

async function main(): Promise<void> {
  const seen: Record<string, StreamStatus> = {};
  for (const [name, serve] of Object.entries(SERVERS)) seen[name] = await statusFrom(serve);
  console.log(JSON.stringify(seen));
  process.exit(0);
}

void main();
