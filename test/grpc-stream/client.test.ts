import { createServer as createHttp } from "node:http";
import { constants, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import { describe, expect, onTestFinished, test } from "vitest";
import { type ClientStreamOptions, openGrpcStream } from "../../src/grpc-stream/client.ts";
import { framed } from "./framed.ts";
import { startH2, startTcp } from "./h2.ts";

const GRPC = { ":status": 200, "content-type": "application/grpc" };

/** A call to the address, and what it got. */
function callTo(address: string, more: Partial<ClientStreamOptions> = {}) {
  const got: Buffer[] = [];
  const call = openGrpcStream({
    ...{ address, authority: address, tls: "plaintext", method: "/a.B/C", headers: [["x-a", "1"]] },
    ...{ connectLimitMs: 10_000, mostMessageBytes: 2 ** 20, handler: { message: (bytes) => void got.push(bytes) } },
    ...more,
  });
  onTestFinished(() => call.close());
  return { call, got };
}

const trailing = (stream: ServerHttp2Stream, trailers: Record<string, string>): void => {
  stream.once("wantTrailers", () => stream.sendTrailers(trailers));
  stream.end();
};

describe("how a call ends", () => {
  const cases: [string, (stream: ServerHttp2Stream) => void, object][] = [
    [
      "HTTP 403 with a page",
      (stream) => page(stream, 403),
      { code: 7, details: expect.stringMatching(/^Received HTTP status code 403: <html>no gRPC here/) },
    ],
    [
      "HTTP 503 with a page",
      (stream) => page(stream, 503),
      { code: 14, details: expect.stringMatching(/^Received HTTP status code 503: <html>no gRPC here/) },
    ],
    [
      "HTTP 200 with a page",
      (stream) => page(stream, 200),
      {
        code: 2,
        details: expect.stringMatching(/^the server does not speak gRPC: content-type "text\/html": <html>no/),
      },
    ],
    [
      "only trailers",
      (stream) => stream.respond({ ...GRPC, "grpc-status": "7", "grpc-message": "no%20way" }, { endStream: true }),
      { code: 7, details: "no way" },
    ],
    [
      "messages, then trailers",
      (stream) => {
        stream.respond(GRPC, { waitForTrailers: true });
        stream.write(framed(Buffer.from("x")));
        trailing(stream, { "grpc-status": "5", "grpc-message": "gone" });
      },
      { code: 5, details: "gone" },
    ],
    [
      "no trailers at all",
      (stream) => {
        stream.respond(GRPC);
        stream.end();
      },
      { code: 13 },
    ],
    [
      "OK within a message",
      (stream) => {
        stream.respond(GRPC, { waitForTrailers: true });
        stream.write(framed(Buffer.alloc(9)).subarray(0, 8));
        trailing(stream, { "grpc-status": "0" });
      },
      { code: 13, details: "the server ended the stream within a message" },
    ],
    [
      "HTTP 503 with a page that never ends",
      (stream) => {
        stream.respond({ ":status": 503, "content-type": "text/plain" });
        stream.write("no healthy upstream");
      },
      { code: 14, details: "Received HTTP status code 503: no healthy upstream" },
    ],
    [
      "HTTP 200 with a page that never ends",
      (stream) => {
        stream.respond({ ":status": 200, "content-type": "text/html" });
        stream.write("no gRPC here ".repeat(50));
      },
      {
        code: 2,
        details: expect.stringMatching(/^the server does not speak gRPC: content-type "text\/html": no gRPC/),
      },
    ],
    [
      "HTTP 502 with a page that breaks off",
      (stream) => {
        stream.respond({ ":status": 502, "content-type": "text/html" });
        stream.write("bad gateway", () => stream.session?.destroy());
      },
      { code: 14, details: expect.stringMatching(/^Received HTTP status code 502/) },
    ],
    [
      "a message in an encoding that is unknown",
      (stream) => {
        stream.respond({ ...GRPC, "grpc-encoding": "br" });
        stream.write(framed(Buffer.from("x"), 1));
      },
      { code: 13, details: 'a message is compressed with "br"; known: gzip, deflate' },
    ],
    ["REFUSED_STREAM", (stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM), { code: 14 }],
    ["CANCEL", (stream) => stream.close(constants.NGHTTP2_CANCEL), { code: 1 }],
    ["ENHANCE_YOUR_CALM", (stream) => stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM), { code: 8 }],
    ["INTERNAL_ERROR", (stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR), { code: 13 }],
    ["GOAWAY with an error", (stream) => stream.session?.goaway(11), { code: 14 }],
    [
      "GOAWAY without an error, and the connection breaks",
      (stream) => {
        stream.respond(GRPC);
        stream.session?.goaway(0, 1, Buffer.from("moving\nhouse"));
        stream.session?.ping(() => stream.session?.destroy());
      },
      { code: 14, details: "Connection dropped, after GOAWAY 0: moving house" },
    ],
    [
      "GOAWAY without an error, and the stream is reset",
      (stream) => {
        stream.session?.goaway(0, 1, Buffer.from("moving house"));
        stream.session?.ping(() => stream.close(constants.NGHTTP2_REFUSED_STREAM));
      },
      { code: 14, details: expect.stringMatching(/, after GOAWAY 0: moving house$/) },
    ],
    ["the connection breaks", (stream) => stream.session?.destroy(), { code: 14 }],
  ];
  test.each(cases)("%s", async (_, serve, wanted) => {
    const { call } = callTo(await startH2(serve));
    call.send(Buffer.from("hello"));
    expect(await call.status).toMatchObject(wanted);
  });

  test("GOAWAY without an error lets the stream come to its end", async () => {
    let finish = (): void => undefined;
    const address = await startH2((stream) => {
      stream.respond(GRPC, { waitForTrailers: true });
      stream.write(framed(Buffer.from("before")));
      stream.session?.close();
      finish = () => {
        stream.write(framed(Buffer.from("after")));
        trailing(stream, { "grpc-status": "0" });
      };
    });
    const { call, got } = callTo(address);
    await expect.poll(() => got.length).toBe(1);
    finish();
    expect(await call.status).toEqual({ code: 0, details: "" });
    expect(got.map(String)).toEqual(["before", "after"]);
  });

  test("a message above the limit, and a handler that throws", async () => {
    const address = await startH2((stream) => {
      stream.respond(GRPC);
      stream.write(framed(Buffer.alloc(0), 0, 2 ** 31));
    });
    expect(await callTo(address).call.status).toMatchObject({ code: 8 });
    const small = await startH2((stream) => {
      stream.respond(GRPC);
      stream.write(framed(Buffer.alloc(3)));
    });
    const handler = {
      message: () => {
        throw new Error("cannot read it");
      },
    };
    expect(await callTo(small, { handler }).call.status).toEqual({ code: 13, details: "cannot read it" });
  });

  test("the status waits until a slow handler has taken every message", async () => {
    const address = await startH2((stream) => {
      stream.respond(GRPC, { waitForTrailers: true });
      for (let count = 0; count < 50; count++) stream.write(framed(Buffer.alloc(20_000)));
      trailing(stream, { "grpc-status": "3", "grpc-message": "end" });
    });
    let taken = 0;
    const message = () => new Promise<void>((resolve) => setTimeout(resolve, 2)).then(() => void taken++);
    const { call } = callTo(address, { handler: { message } });
    expect(await call.status).toEqual({ code: 3, details: "end" });
    expect(taken).toBe(50);
  });
});

describe("servers that do not answer as one should", () => {
  test("one that never sends SETTINGS is UNAVAILABLE at the limit", async () => {
    const { call } = callTo(await startTcp(() => undefined), { connectLimitMs: 200 });
    expect(await call.connected).toBe(false);
    expect(await call.status).toEqual({
      code: 14,
      details: "no connection within 0.2s: the address does not answer",
    });
  });

  test("one that closes at once", async () => {
    const { call } = callTo(await startTcp((socket) => socket.end()));
    expect(await call.status).toEqual({
      code: 14,
      details: "the server closed the connection before HTTP/2 was set up",
    });
  });

  test("one of HTTP/1.1", async () => {
    const server = createHttp((_, answer) => answer.end("hello"));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close());
    const { call } = callTo(`127.0.0.1:${(server.address() as AddressInfo).port}`);
    expect(await call.status).toEqual({ code: 14, details: "the server does not speak HTTP/2" });
  });

  test("one that stops to answer pings", async () => {
    const address = await startTcp((socket) => {
      socket.once("data", () => socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]))); // empty SETTINGS, and silence
      socket.resume();
    });
    const { call } = callTo(address, { keepalive: { intervalMs: 50, timeoutMs: 100 } });
    expect(await call.connected).toBe(true);
    expect(await call.status).toEqual({ code: 14, details: "the server does not answer keepalive probes" });
  });

  test("one that stops to answer after it has said GOAWAY", async () => {
    const goaway = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]); // without an error: stream 1 may go on
    const address = await startTcp((socket) => {
      socket.once("data", () => socket.write(Buffer.concat([Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]), goaway])));
      socket.resume();
    });
    const { call } = callTo(address, { keepalive: { intervalMs: 50, timeoutMs: 100 } });
    expect(await call.connected).toBe(true);
    expect(await call.status).toEqual({ code: 14, details: "the server does not answer keepalive probes" });
  });

  test("one that answers is kept after its GOAWAY, however long its stream goes on", async () => {
    let pings = 0;
    const address = await startH2((stream) => {
      stream.respond(GRPC, { waitForTrailers: true });
      stream.session?.goaway(0);
      stream.session?.on("remoteSettings", () => {
        if (++pings === 4) trailing(stream, { "grpc-status": "0" });
      });
    });
    const { call } = callTo(address, { keepalive: { intervalMs: 10, timeoutMs: 5_000 } });
    expect(await call.status).toEqual({ code: 0, details: "" });
    expect(pings).toBeGreaterThanOrEqual(4);
  });

  test("one that answers pings is kept, however long nothing else comes", async () => {
    let pings = 0;
    const address = await startH2((stream) => {
      stream.session?.on("ping", () => pings++);
      stream.respond(GRPC);
    });
    const { call } = callTo(address, { keepalive: { intervalMs: 10, timeoutMs: 5_000 } });
    let isOver = false;
    void call.status.then(() => {
      isOver = true;
    });
    await expect.poll(() => pings).toBeGreaterThan(10);
    expect(isOver).toBe(false);
  });
});

test("close cancels at the server, and closes the connection", async () => {
  let arrived: ServerHttp2Stream | undefined;
  const address = await startH2((stream) => {
    arrived = stream;
    stream.respond(GRPC);
  });
  const { call } = callTo(address);
  await expect.poll(() => arrived !== undefined).toBe(true);
  const session = arrived?.session;
  call.close();
  expect(await call.status).toEqual({ code: 1, details: "Cancelled on client" });
  await expect.poll(() => [arrived?.closed, session?.destroyed]).toEqual([true, true]);
  call.send(Buffer.from("late"));
  call.end();
});

test("grpc-js: messages both ways, half-close, headers, and OK", async () => {
  const same = (bytes: Buffer): Buffer => bytes;
  const server = new Server({ "grpc.max_receive_message_length": -1 });
  const definition = {
    path: "/a.B/C",
    ...{ requestStream: true, responseStream: true, requestSerialize: same, requestDeserialize: same },
    ...{ responseSerialize: same, responseDeserialize: same },
  };
  const heard: unknown[] = [];
  const echo = (call: ServerDuplexStream<Buffer, Buffer>): void => {
    heard.push(...call.metadata.get("x-a"));
    call.on("data", (bytes: Buffer) => call.write(bytes)).on("end", () => call.end());
  };
  server.addService({ echo: definition }, { echo });
  const port = await new Promise<number>((resolve) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (_, bound) => resolve(bound)),
  );
  onTestFinished(() => server.forceShutdown());
  const { call, got } = callTo(`127.0.0.1:${port}`, {
    mostMessageBytes: 8 * 2 ** 20,
    headers: [
      ["x-a", "1"],
      ["x-a", "2"],
    ],
  });
  const sent = [Buffer.alloc(0), Buffer.from("a"), Buffer.alloc(5 * 2 ** 20, 7), Buffer.from("z")];
  for (const message of sent) call.send(message);
  call.end();
  expect(await call.status).toEqual({ code: 0, details: "OK" });
  expect(got.map(({ length }) => length)).toEqual(sent.map(({ length }) => length));
  expect(heard.join()).toMatch(/^1,? ?2$/);
});

function page(stream: ServerHttp2Stream, status: number): void {
  stream.respond({ ":status": status, "content-type": "text/html" });
  stream.end(`<html>${"no gRPC here ".repeat(50)}</html>`);
}
