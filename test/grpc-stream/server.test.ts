import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, credentials } from "@grpc/grpc-js";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { bindUnix } from "../../src/base/index.ts";
import { serveGrpcStreams } from "../../src/grpc-stream/server.ts";
import type { ServerStream } from "../../src/grpc-stream/server-stream.ts";
import { framed } from "./framed.ts";
import { answerOf, CALL, openH2 } from "./h2.ts";

const ECHO = "/a.B/Echo";
const MANY = 10_000_000;

let path: string;
let streams: ServerStream[];
let stop: () => void;
beforeEach(async () => {
  const folder = await mkdtemp(join(tmpdir(), "pb-grpc-stream-"));
  const socket = await bindUnix(join(folder, "socket"));
  path = socket.address;
  streams = [];
  const take = (stream: ServerStream): void => void streams.push(stream);
  const echo = (stream: ServerStream): void => {
    take(stream);
    stream.read({ message: (bytes) => stream.send(bytes) }, MANY).then(
      () => stream.finish({ code: 0, details: "" }),
      (error) => stream.finish(error),
    );
  };
  const server = serveGrpcStreams({ socket, methods: { [ECHO]: echo, "/a.B/Take": take }, maxStreams: 3 });
  stop = () => server[Symbol.dispose]();
  onTestFinished(async () => {
    stop();
    await socket[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });
});

const ask = (headers: object, body?: Uint8Array) => {
  const stream = openH2(path).request({ ...CALL, ...headers });
  if (body !== undefined) stream.end(body);
  return answerOf(stream);
};

test("what is no call of gRPC is 415, an unknown method UNIMPLEMENTED, also for a caller that goes on sending", async () => {
  expect((await ask({ ":path": ECHO, ":method": "GET" })).headers[":status"]).toBe(415);
  for (const type of ["application/json", "application/grpc-web", "application/grpc-web+proto", "application/grpcs"])
    expect((await ask({ ":path": ECHO, "content-type": type })).headers[":status"]).toBe(415);
  for (const unknown of ["/a.B/None", "/__proto__", "/constructor"]) {
    const { headers } = await ask({ ":path": unknown });
    expect(headers).toMatchObject({ ":status": 200, "grpc-status": "12" });
  }
  for (const type of ["application/grpc+proto", "application/grpc;charset=utf-8"]) {
    const { trailers } = await ask({ ":path": ECHO, "content-type": type }, framed(Buffer.from("x")));
    expect(trailers).toMatchObject({ "grpc-status": "0" });
  }
});

test("messages come back, and the status when the caller has ended", async () => {
  const body = Buffer.concat([framed(Buffer.alloc(0)), framed(Buffer.alloc(1_000_000, 1)), framed(Buffer.from("end"))]);
  const answer = await ask({ ":path": ECHO }, body);
  expect(answer.body.equals(body)).toBe(true);
  expect(answer).toMatchObject({ headers: { ":status": 200 }, trailers: { "grpc-status": "0" }, resetCode: 0 });
});

test("an end within a message is INTERNAL, a message above the limit RESOURCE_EXHAUSTED", async () => {
  const half = await ask({ ":path": ECHO }, framed(Buffer.alloc(10)).subarray(0, 9));
  expect({ ...half.headers, ...half.trailers }).toMatchObject({ "grpc-status": "13" });
  const long = await ask({ ":path": ECHO }, framed(Buffer.alloc(0), 0, MANY + 1));
  expect({ ...long.headers, ...long.trailers }).toMatchObject({ "grpc-status": "8" });
});

test("the first status counts; OK within a message is UNAVAILABLE", async () => {
  const answered = ask({ ":path": "/a.B/Take" });
  await expect.poll(() => streams.length).toBe(1);
  const [stream] = streams;
  const piece = await stream?.begin(10);
  await piece?.write(Buffer.from("half"));
  stream?.finish({ code: 0, details: "" });
  stream?.finish({ code: 5, details: "too late" });
  expect((await answered).trailers).toMatchObject({ "grpc-status": "14" });
  await stream?.closed;
});

test("a call ends at its deadline, for its caller and for its method; a late or long one changes nothing", async () => {
  const started = performance.now();
  const answered = ask({ ":path": "/a.B/Take", "grpc-timeout": "200m" });
  await expect.poll(() => streams.length).toBe(1);
  expect((await answered).headers).toMatchObject({ ":status": 200, "grpc-status": "4" });
  expect(performance.now() - started).toBeGreaterThan(190);
  await Promise.all([streams[0]?.broken, streams[0]?.closed]);
  for (const timeout of ["0n", "1u", "00000001m"]) {
    expect((await ask({ ":path": "/a.B/Take", "grpc-timeout": timeout })).headers).toMatchObject({
      "grpc-status": "4",
    });
  }
  for (const timeout of ["99999999H", "1M", "30S"]) {
    const { trailers } = await ask({ ":path": ECHO, "grpc-timeout": timeout }, framed(Buffer.from("x")));
    expect(trailers).toMatchObject({ "grpc-status": "0" });
  }
});

test("a call whose caller does not read is reset at its deadline", async () => {
  const call = openH2(path).request({ ...CALL, ":path": "/a.B/Take", "grpc-timeout": "200m" });
  call.on("error", () => undefined);
  await expect.poll(() => streams.length).toBe(1);
  await Promise.all([streams[0]?.send(Buffer.alloc(5_000_000)), streams[0]?.broken, streams[0]?.closed]);
  await expect.poll(() => call.rstCode).toBe(8);
});

test("a call that is given up is over, also for a method that still waits for room", async () => {
  const call = openH2(path).request({ ...CALL, ":path": "/a.B/Take" });
  call.on("error", () => undefined);
  await expect.poll(() => streams.length).toBe(1);
  const room = streams[0]?.send(Buffer.alloc(5_000_000));
  streams[0]?.giveUp();
  await Promise.all([room, streams[0]?.closed]);
  await expect.poll(() => call.rstCode).toBe(11);
});

test.each(["", "m", "5", "5s", "-5m", "1.5S", "123456789m", "5 S"])(
  "a malformed deadline is INTERNAL (%j)",
  async (timeout) => {
    const { headers } = await ask({ ":path": ECHO, "grpc-timeout": timeout });
    expect(headers).toMatchObject({
      ":status": 200,
      "grpc-status": "13",
      "grpc-message": `malformed grpc-timeout: ${JSON.stringify(timeout)}`,
    });
    expect(streams).toEqual([]);
  },
);

test("a caller that resets its stream is gone, and what is sent to it has an end", async () => {
  const stream = openH2(path).request({ ...CALL, ":path": "/a.B/Take" });
  stream.on("error", () => undefined);
  await expect.poll(() => streams.length).toBe(1);
  const room = streams[0]?.send(Buffer.alloc(5_000_000));
  stream.close(8);
  await Promise.all([room, streams[0]?.broken, streams[0]?.closed]);
  streams[0]?.finish({ code: 0, details: "" });
});

test("no more streams of one connection are open than permitted", async () => {
  const session = openH2(path);
  const open = [1, 2, 3, 4, 5].map(() => session.request({ ...CALL, ":path": "/a.B/Take" }));
  for (const stream of open) stream.on("error", () => undefined).resume();
  await expect.poll(() => streams.length).toBe(3);
  expect(session.remoteSettings.maxConcurrentStreams).toBe(3);
  streams[0]?.finish({ code: 0, details: "" });
  await streams[0]?.closed;
  const next = session.request({ ...CALL, ":path": "/a.B/Take" });
  next.on("error", () => undefined).resume();
  await expect.poll(() => streams.length).toBe(4);
});

test("disposing cuts connections, with calls and without", async () => {
  const [calling, silent] = [openH2(path), openH2(path)];
  const call = answerOf(calling.request({ ...CALL, ":path": "/a.B/Take" }));
  await expect.poll(() => streams.length).toBe(1);
  stop();
  await call;
  await expect.poll(() => calling.destroyed).toBe(true);
  void silent;
});

test("a connection without a call is closed after ten seconds, with GOAWAY, and one with a refused call is not", async () => {
  const started = performance.now();
  const [half, whole, calling, refused] = [connect(path), openH2(path), openH2(path), openH2(path)];
  const stubborn = connect({ path, allowHalfOpen: true });
  half.on("error", () => undefined).resume();
  half.write("PRI * HTT");
  stubborn.on("error", () => undefined).resume();
  stubborn.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"); // and empty SETTINGS
  void answerOf(calling.request({ ...CALL, ":path": "/a.B/Take" }));
  void answerOf(refused.request({ ...CALL, ":path": "/a.B/None" }));
  const goaway = once(whole, "goaway");
  await Promise.all([half, whole].map((one) => new Promise<void>((resolve) => one.once("close", () => resolve()))));
  expect(performance.now() - started).toBeGreaterThan(9_000);
  expect((await goaway).slice(0, 2)).toEqual([0, 0]); // no error, no call taken
  const isCut = (): boolean => {
    stubborn.write("x");
    return stubborn.destroyed;
  };
  await expect.poll(isCut, { timeout: 10_000 }).toBe(true);
  expect([calling.destroyed, refused.destroyed]).toEqual([false, false]);
});

test("a call that is not admitted is refused unread, and its connection gives way as one without a call does", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pb-grpc-stream-"));
  const limit = { most: 2, mostPerPeer: 2 };
  await using socket = await bindUnix(join(folder, "socket"), { limit });
  const admit = async ({ headers }: ServerStream) =>
    headers.authorization === "me" ? undefined : { code: 16, details: `who is ${headers[":path"]}?` };
  let read = 0;
  const take = (stream: ServerStream): void => {
    streams.push(stream);
    void stream.read({ message: () => void read++ }, MANY);
  };
  using _server = serveGrpcStreams({ socket, admit, methods: { "/a.B/Take": take }, maxStreams: 3 });
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const [known, unknown] = [openH2(socket.address), openH2(socket.address)];
  const call = { ...CALL, ":path": "/a.B/Take" };
  const taken = known.request({ ...call, authorization: "me" });
  taken.write(framed(Buffer.from("x")));
  await expect.poll(() => read).toBe(1);
  const refused = unknown.request(call);
  refused.write(Buffer.alloc(1_000_000));
  expect((await answerOf(refused)).headers).toMatchObject({ "grpc-status": "16", "grpc-message": "who is /a.B/Take?" });
  expect(streams).toHaveLength(1);
  const third = openH2(socket.address);
  await expect.poll(() => unknown.destroyed).toBe(true);
  expect([known.destroyed, third.destroyed, read]).toEqual([false, false, 1]);
});

test("grpc-js calls it: messages both ways and the status in words", async () => {
  const same = (bytes: Buffer): Buffer => bytes;
  const client = new Client(`unix:${path}`, credentials.createInsecure(), { "grpc.max_receive_message_length": -1 });
  onTestFinished(() => client.close());
  const call = client.makeBidiStreamRequest(ECHO, same, same);
  const got: Buffer[] = [];
  call.on("data", (bytes: Buffer) => got.push(bytes)).on("error", () => undefined);
  const status = new Promise((resolve) => call.once("status", resolve));
  const sent = [Buffer.alloc(0), Buffer.alloc(3_000_000, 1), Buffer.from("x")];
  for (const message of sent) call.write(message);
  call.end();
  expect(await status).toMatchObject({ code: 0 });
  expect(Buffer.concat(got).equals(Buffer.concat(sent))).toBe(true);
  const taken = client.makeBidiStreamRequest("/a.B/Take", same, same);
  taken.on("error", () => undefined).on("data", () => undefined);
  const refused = new Promise((resolve) => taken.once("status", resolve));
  await expect.poll(() => streams.length).toBe(2);
  streams[1]?.finish({ code: 9, details: "Zürich: 50 %" });
  expect(await refused).toMatchObject({ code: 9, details: "Zürich: 50 %" });
});
