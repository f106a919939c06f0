import { deflateSync, gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { type MessageHandler, MessageReader, type ReaderLimits } from "../../src/grpc-stream/message-reader.ts";
import { Chance } from "../support/chance.ts";
import { framed } from "./framed.ts";

const KIB = 1_024;
const LIMITS: ReaderLimits = { mostBytes: 4 * KIB * KIB };

/** Everything that the reader gave on, in its order. */
async function readAll(chunks: readonly Buffer[], limits = LIMITS, more: Partial<MessageHandler> = {}) {
  const messages: Buffer[] = [];
  const reader = new MessageReader({ message: (bytes) => void messages.push(bytes), ...more }, limits);
  for (const chunk of chunks) await reader.push(chunk);
  return { messages, isBetweenMessages: reader.isBetweenMessages };
}

function bytes(length: number, seed = length): Buffer {
  return Buffer.alloc(length, seed % 251);
}

function cut(whole: Buffer, chance: Chance, most = 70_000): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < whole.length; ) {
    const end = at + chance.below(chance.one([4, 9, 20_000, most])); // pieces of nothing among them
    pieces.push(whole.subarray(at, end));
    at = end;
  }
  return pieces;
}

test("messages cut once, at every byte, come whole and in order", async () => {
  const sent = [bytes(0), bytes(1), bytes(300), bytes(0), bytes(7)];
  const whole = Buffer.concat(sent.map((message) => framed(message)));
  for (let at = 0; at <= whole.length; at++) {
    const { messages, isBetweenMessages } = await readAll([whole.subarray(0, at), whole.subarray(at)]);
    expect(Buffer.concat(messages.map((message) => framed(message))).equals(whole), `cut at ${at}`).toBe(true);
    expect(isBetweenMessages).toBe(true);
  }
});

test("one byte at a time, and all in one piece, are the same", async () => {
  const sent = [bytes(0), bytes(260), bytes(1), bytes(0)];
  const whole = Buffer.concat(sent.map((message) => framed(message)));
  expect((await readAll([...whole].map((byte) => Buffer.from([byte])))).messages).toEqual(sent);
  expect((await readAll([whole])).messages).toEqual(sent);
});

test("the end of the bytes within a header or a message shows", async () => {
  const whole = framed(bytes(20));
  for (let at = 1; at < whole.length; at++)
    expect((await readAll([whole.subarray(0, at)])).isBetweenMessages, `cut at ${at}`).toBe(false);
});

describe("messages above 64 KiB", () => {
  const sizes = [0, 10, 64 * KIB, 64 * KIB + 1, 200 * KIB, 5_000, 1_000 * KIB, 3];

  test("cut by chance they come in pieces that add up, with the others in between, at any pace of the handler", async () => {
    const chance = new Chance(18);
    for (let round = 0; round < 40; round++) {
      const sent = Array.from({ length: 6 }, (_, at) => bytes(chance.one(sizes), at));
      const got: Buffer[] = [];
      const wanted = (length: number) => round % 3 !== 0 && length !== 200 * KIB;
      const pause = () => (chance.below(3) === 0 ? new Promise<void>((resolve) => setImmediate(resolve)) : undefined);
      let [isWithin, large] = [false, 0];
      await readAll(cut(Buffer.concat(sent.map((message) => framed(message))), chance), LIMITS, {
        message(whole) {
          expect(isWithin).toBe(false);
          got.push(whole);
          return pause();
        },
        large(start, length) {
          expect(start.length).toBeGreaterThanOrEqual(4 * KIB);
          expect(length).toBeGreaterThan(64 * KIB);
          if (!wanted(length)) return undefined;
          large++;
          const parts: Buffer[] = [];
          return {
            piece(part, isLast) {
              isWithin = !isLast;
              parts.push(part);
              if (isLast) got.push(Buffer.concat(parts));
              return pause();
            },
          };
        },
      });
      expect(got.map(({ length }) => length)).toEqual(sent.map(({ length }) => length));
      expect(Buffer.concat(got).equals(Buffer.concat(sent))).toBe(true);
      expect(large).toBe(sent.filter(({ length }) => length > 64 * KIB && wanted(length)).length);
    }
  });

  test("may be longer than what is collected; one that is collected after all may not", async () => {
    const whole = framed(bytes(100 * KIB));
    const limits = { mostBytes: 80 * KIB };
    let passed = 0;
    const piece = (part: Buffer): void => {
      passed += part.length;
    };
    await readAll([whole], limits, { large: () => ({ piece }) });
    expect(passed).toBe(100 * KIB);
    await expect(readAll([whole], limits, { large: () => undefined })).rejects.toMatchObject({ code: 8 });
  });
});

test("a message above the limit is refused when it is announced, with 4 GiB as with one byte too much", async () => {
  const header = Buffer.from([0, 255, 255, 255, 255]);
  await expect(readAll([header])).rejects.toMatchObject({
    code: 8,
    bytes: 2 ** 32 - 1,
    details: "received message larger than max (4294967295 vs. 4194304)",
  });
  await expect(readAll([framed(bytes(0), 0, 4 * KIB * KIB + 1)])).rejects.toMatchObject({ code: 8 });
  expect((await readAll([framed(bytes(0), 0, 4 * KIB * KIB)])).messages).toEqual([]);
});

test.each([2, 3, 128, 255])("a message that begins with %d is none of gRPC", async (flags) => {
  await expect(readAll([framed(bytes(3), flags)])).rejects.toMatchObject({ code: 13 });
});

describe("compressed messages", () => {
  const message = bytes(100 * KIB);
  const read = (packed: Buffer, encoding?: string, mostBytes = LIMITS.mostBytes) =>
    readAll(
      [framed(packed, 1), framed(bytes(2))],
      { mostBytes, encoding: () => encoding },
      { large: () => expect.fail("not asked") },
    );

  test("gzip and deflate are read, in their order", async () => {
    const wanted = Buffer.concat([message, bytes(2)]);
    for (const [encoding, pack] of [["gzip", gzipSync] as const, ["deflate", deflateSync] as const])
      expect(Buffer.concat((await read(pack(message), encoding)).messages).equals(wanted)).toBe(true);
  });

  test.each([["snappy"], ["constructor"], ["identity,gzip"]])("%s is not known", async (encoding) => {
    await expect(read(bytes(9), encoding)).rejects.toMatchObject({
      code: 12,
      details: `a message is compressed with "${encoding}"; known: gzip, deflate`,
    });
  });

  test("without an encoding in the headers it is an error of the sender", async () => {
    await expect(read(gzipSync(message))).rejects.toMatchObject({ code: 13 });
    await expect(read(gzipSync(message), "identity")).rejects.toMatchObject({ code: 13 });
  });

  test("broken ones are INTERNAL, and one that becomes too large is RESOURCE_EXHAUSTED", async () => {
    await expect(read(bytes(50), "gzip")).rejects.toMatchObject({ code: 13 });
    await expect(read(gzipSync(message), "gzip", 99 * KIB)).rejects.toMatchObject({ code: 8 });
  });
});

test("what a handler throws fails the reader, from a message and from a piece", async () => {
  const fail = (): never => {
    throw new Error("no more");
  };
  await expect(readAll([framed(bytes(1))], LIMITS, { message: fail })).rejects.toThrow("no more");
  const large = () => ({ piece: fail });
  await expect(readAll([framed(bytes(100 * KIB))], LIMITS, { large })).rejects.toThrow("no more");
  const late = async () => fail();
  await expect(readAll([framed(bytes(1))], LIMITS, { message: late })).rejects.toThrow("no more");
});
