import { expect, test } from "vitest";
import { deliverMessage } from "../../src/grpc-stream/deliver-message.ts";
import type { MessageHandler } from "../../src/grpc-stream/message-reader.ts";

/** Pieces of these lengths, and how many of them were asked for. */
function pieces(...lengths: readonly number[]) {
  let asked = 0;
  return {
    length: lengths.reduce((sum, one) => sum + one, 0),
    asked: () => asked,
    async *pieces() {
      for (const length of lengths) {
        asked++;
        yield Buffer.alloc(length, asked);
      }
    },
  };
}

const never = new AbortController().signal;

test("a short message comes whole, a long one in pieces where the handler wants that", async () => {
  const got: string[] = [];
  const whole: MessageHandler = { message: (bytes) => void got.push(`whole ${bytes.length}`) };
  const cut: MessageHandler = {
    ...whole,
    large: (start, length) => {
      got.push(`large ${start.length} of ${length}`);
      return { piece: (bytes, isLast) => void got.push(`piece ${bytes.length}${isLast ? ", the last" : ""}`) };
    },
  };
  await deliverMessage(cut, pieces(10, 20), never);
  await deliverMessage(whole, pieces(5_000, 90_000), never);
  await deliverMessage(cut, pieces(10, 5_000, 90_000), never);
  expect(got).toEqual(["whole 30", "whole 95000", "large 5010 of 95010", "piece 5010", "piece 90000, the last"]);
});

test("each piece is fetched when the one before was taken, and none once it is over", async () => {
  const over = new AbortController();
  const message = pieces(70_000, 70_000, 70_000, 70_000);
  const handler: MessageHandler = {
    message: () => undefined,
    large: () => ({
      async piece() {
        if (message.asked() === 2) over.abort();
      },
    }),
  };
  await deliverMessage(handler, message, over.signal);
  expect(message.asked()).toBe(3);
});

test("a message that is shorter than it says, and a failure on either side, reject", async () => {
  const handler: MessageHandler = { message: () => undefined };
  await expect(deliverMessage(handler, { ...pieces(10), length: 11 }, never)).rejects.toThrow(
    "other than its 11 bytes",
  );
  const refusing: MessageHandler = { message: () => Promise.reject(new Error("cannot take it")) };
  await expect(deliverMessage(refusing, pieces(10), never)).rejects.toThrow("cannot take it");
  const broken = {
    length: 10,
    async *pieces(): AsyncGenerator<Buffer> {
      yield Buffer.alloc(5);
      throw new Error("cannot read it");
    },
  };
  await expect(deliverMessage(handler, broken, never)).rejects.toThrow("cannot read it");
});
