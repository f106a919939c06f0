import { once } from "node:events";
import { createServer } from "node:http2";
import { message } from "../../test/support/wire-messages.ts";
import { grpcFrame, readMessages } from "./grpc-wire.ts";
import type { Orders } from "./roles.ts";

export interface SdsFloorSettings {
  readonly socket: string;
}

/** A server on node:http2 that answers as many bytes as a secret has, without asking anybody: what HTTP/2 costs on Node. */
export async function serveSdsFloor({ socket }: SdsFloorSettings): Promise<Orders> {
  const answer = grpcFrame(message([1, "-----BEGIN CERTIFICATE-----"], [2, Buffer.alloc(SECRET_BYTES)], [5, "1"]));
  const server = createServer();
  server.on("stream", (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    let isAnswered = false;
    readMessages(stream, () => {
      if (!isAnswered) stream.write(answer);
      isAnswered = true;
    });
    stream.once("end", () => stream.end());
  });
  await once(server.listen(socket), "listening");
  return {};
}

const SECRET_BYTES = 1_600;
