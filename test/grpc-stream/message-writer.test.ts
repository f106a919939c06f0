import type { ClientHttp2Stream, ServerHttp2Stream } from "node:http2";
import { connect } from "node:http2";
import { expect, onTestFinished, test } from "vitest";
import { MessageReader } from "../../src/grpc-stream/message-reader.ts";
import { MessageWriter } from "../../src/grpc-stream/message-writer.ts";
import { startH2 } from "./h2.ts";

const MIB = 2 ** 20;

/** A writer on a stream to a reader that does not read before `read` is called. */
async function startWriter() {
  let serve = (_: ServerHttp2Stream): void => undefined;
  const arrived = new Promise<ServerHttp2Stream>((resolve) => {
    serve = resolve;
  });
  const address = await startH2((stream) => serve(stream));
  const session = connect(`http://${address}`);
  session.on("error", () => undefined);
  onTestFinished(() => session.destroy());
  const stream: ClientHttp2Stream = session.request({ ":method": "POST", ":path": "/x" });
  stream.on("error", () => undefined);
  const writer = new MessageWriter(stream);
  const got: Buffer[] = [];
  const reader = new MessageReader({ message: (bytes) => void got.push(bytes) }, { mostBytes: 64 * MIB });
  return {
    writer,
    stream,
    got,
    peer: await arrived,
    read: async () => (await arrived).on("data", (chunk: Buffer) => void reader.push(chunk)),
  };
}

test("small, large and empty messages arrive as they were sent", async () => {
  const { writer, got, read } = await startWriter();
  await read();
  const sent = [
    Buffer.alloc(0),
    Buffer.from("a"),
    Buffer.alloc(16 * 1_024, 1),
    Buffer.alloc(3 * MIB, 2),
    Buffer.alloc(0),
  ];
  for (const message of sent) void writer.send(message);
  await expect.poll(() => got.length).toBe(sent.length);
  expect(Buffer.concat(got).equals(Buffer.concat(sent))).toBe(true);
});

test("messages that are sent while another is in pieces wait, and two in pieces take their turns", async () => {
  const { writer, got, read } = await startWriter();
  await read();
  const first = await writer.begin(200_000);
  const second = writer.begin(100_000);
  void first.write(Buffer.alloc(50_000, 1));
  const sent: number[] = [];
  void writer.send(Buffer.from("small"), () => sent.push(1));
  void writer.send(Buffer.alloc(70_000, 3));
  expect(writer.isWithinMessage).toBe(true);
  for (let at = 0; at < 3; at++) await first.write(Buffer.alloc(50_000, 1));
  const next = await second;
  await next.write(Buffer.alloc(60_000, 2));
  expect(writer.isWithinMessage).toBe(true);
  await next.write(Buffer.alloc(40_000, 2));
  await expect.poll(() => got.map(({ length }) => length)).toEqual([200_000, 100_000, 5, 70_000]);
  expect(writer.isWithinMessage).toBe(false);
  expect(sent).toEqual([1]);
  expect(got.every((message) => message.every((byte) => byte === message[0]) || message.toString() === "small")).toBe(
    true,
  );
});

test("the other side does not read: promises ask to wait, and settle when it reads", async () => {
  const { writer, stream, got, read } = await startWriter();
  const room = writer.send(Buffer.alloc(MIB));
  expect(room).toBeInstanceOf(Promise);
  expect(writer.unsentBytes).toBeGreaterThan(MIB / 2);
  let hasRoom = false;
  void room?.then(() => {
    hasRoom = true;
  });
  // the answer comes behind everything that the other side would have said of what it was sent
  for (let round = 0; round < 3; round++) await new Promise((resolve) => stream.session?.ping(resolve));
  expect(hasRoom).toBe(false);
  await read();
  await room;
  await expect.poll(() => got.length).toBe(1);
  await expect.poll(() => writer.unsentBytes).toBe(0);
});

test("the stream closes: every promise settles, whether it waits for room, for its turn or for the last piece", async () => {
  const { writer, stream } = await startWriter();
  const open = await writer.begin(MIB * 2);
  const waiting = [open.write(Buffer.alloc(MIB)), writer.send(Buffer.alloc(5)), writer.begin(9), writer.begin(10)];
  stream.close(8); // without an error it would wait for what was written
  await Promise.all(waiting);
  await Promise.all([open.write(Buffer.alloc(MIB)), writer.send(Buffer.alloc(MIB)), writer.begin(5)]);
  const late = await writer.begin(MIB);
  await late.write(Buffer.alloc(1));
});

test("the peer breaks the stream off: the same", async () => {
  const { writer, peer } = await startWriter();
  const open = await writer.begin(MIB * 2);
  const waiting = [open.write(Buffer.alloc(MIB)), writer.send(Buffer.alloc(5)), writer.begin(9)];
  peer.close(8);
  await Promise.all(waiting);
});
