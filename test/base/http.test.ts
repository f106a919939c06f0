import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import { createServer as createTcpServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { httpRequest, httpStream, NoAnswerError } from "../../src/base/index.ts";

interface Opened extends AsyncDisposable {
  readonly port: number;
  /** Connections that are open now. */
  count(): Promise<number>;
}

async function opened(server: Server, path?: string): Promise<Opened> {
  await new Promise<void>((done) =>
    path === undefined ? server.listen(0, "127.0.0.1", done) : server.listen(path, done),
  );
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    count: () =>
      new Promise((done, fail) => server.getConnections((error, count) => (error ? fail(error) : done(count)))),
    async [Symbol.asyncDispose]() {
      if ("closeAllConnections" in server) (server as ReturnType<typeof createServer>).closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

const serve = (answer: RequestListener): Promise<Opened> => opened(createServer(answer));
const place = (port: number, path = "/") => ({ host: "127.0.0.1", port, path });

test("method, path as it is written, headers and body arrive; status, headers and body come back", async () => {
  await using server = await serve((request, response) => {
    request.setEncoding("utf8").on("data", (text) => {
      response.writeHead(418, { "x-word": "kettle" });
      response.end(`${request.method} ${request.url} ${request.headers["x-asked"]} ${text}`);
    });
  });
  const options = { method: "POST", headers: { "x-asked": "yes" }, body: "tea", timeoutMs: 10_000 };
  const { status, headers, body } = await httpRequest(place(server.port, "/a?filter=^(b|c)$"), options);
  expect({ status, word: headers["x-word"] }).toEqual({ status: 418, word: "kettle" });
  expect(body.toString()).toBe("POST /a?filter=^(b|c)$ yes tea");
});

test("a UNIX socket is asked as a port is", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pb-http-"));
  await using _server = await opened(
    createServer((request, response) => response.end(request.url)),
    join(folder, "s"),
  );
  const { body } = await httpRequest({ socketPath: join(folder, "s"), path: "/x" }, { timeoutMs: 10_000 });
  expect(body.toString()).toBe("/x");
  await rm(folder, { recursive: true, force: true });
});

test("another address than that of the name keeps the name in the Host header", async () => {
  await using server = await serve((request, response) => response.end(request.headers.host));
  const url = new URL(`http://name.invalid:${server.port}/`);
  const { body } = await httpRequest(url, { connectTo: "127.0.0.1", timeoutMs: 10_000 });
  expect(body.toString()).toBe(url.host);
});

const LIMITS = [
  ["no status line", () => undefined],
  ["half of a body", (_request, response) => void response.write("half")],
] as const satisfies readonly (readonly [string, RequestListener])[];

test.each(LIMITS)("the limit holds where there is %s, and leaves no connection", async (_what, answer) => {
  await using server = await serve(answer);
  for (const limits of [{ timeoutMs: 100 }, { silenceMs: 100 }]) {
    const failure = await httpRequest(place(server.port), limits).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(NoAnswerError);
    expect(String(failure)).toContain("no answer within 100 ms");
  }
  await expect.poll(server.count).toBe(0);
});

test.each(LIMITS)("the caller's reason ends it where there is %s", async (_what, answer) => {
  await using server = await serve(answer);
  const stop = new AbortController();
  const asked = httpRequest(place(server.port), { timeoutMs: 60_000, signal: stop.signal });
  await expect.poll(server.count).toBe(1);
  stop.abort(new Error("enough"));
  await expect(asked).rejects.toThrow("enough");
  await expect.poll(server.count).toBe(0);
  await expect(httpRequest(place(server.port), { timeoutMs: 60_000, signal: stop.signal })).rejects.toThrow("enough");
});

test("a body that breaks off, and a connection that ends without an answer, are failures of their own", async () => {
  await using breaking = await serve((_request, response) => {
    response.writeHead(200, { "content-length": "100" }).write("half", () => response.destroy());
  });
  await expect(httpRequest(place(breaking.port), { timeoutMs: 10_000 })).rejects.toThrow("the answer ended early: ");
  await using switching = await opened(
    createTcpServer(
      (socket) => void socket.resume().end("HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"),
    ),
  );
  const asked = httpRequest(place(switching.port), { timeoutMs: 10_000 });
  await expect(asked).rejects.toThrow("the connection closed without an answer");
});

test("nobody there is the system's failure, with its code", async () => {
  const server = await serve(() => undefined);
  await server[Symbol.asyncDispose]();
  await expect(httpRequest(place(server.port), { timeoutMs: 10_000 })).rejects.toMatchObject({ code: "ECONNREFUSED" });
});

test("a stream comes as it is sent, and disposing or leaving it ends the connection", async () => {
  await using server = await serve((_request, response) => void response.write("first"));
  const unread = await httpStream(place(server.port), { timeoutMs: 60_000 });
  expect(unread.status).toBe(200);
  unread[Symbol.dispose]();
  await expect.poll(server.count).toBe(0);
  const { body } = await httpStream(place(server.port), { timeoutMs: 60_000 });
  for await (const chunk of body) {
    expect(Buffer.from(chunk).toString()).toBe("first");
    break;
  }
  await expect.poll(server.count).toBe(0);
});

test("an answer that is odd, but complete, leaves no connection", async () => {
  await using odd = await opened(createTcpServer((socket) => void socket.resume().write("HTTP/1.1 101 S\r\n\r\n")));
  expect((await httpRequest(place(odd.port), { timeoutMs: 10_000 })).status).toBe(101);
  await expect.poll(odd.count).toBe(0);
});

test("a body over its limit is given up", async () => {
  await using server = await serve((_request, response) => response.end("x".repeat(2_000)));
  const asked = httpRequest(place(server.port), { timeoutMs: 10_000, mostBytes: 1_024 });
  await expect(asked).rejects.toThrow("the body is longer than 1 KiB");
});
