import type { Http2Stream } from "node:http2";
import type { MessageReader } from "./message-reader.ts";

/**
 * Gives everything that arrives on a stream to the reader, and asks the other side for more only when the reader has
 * taken it. Resolves at the end of the other side's messages, once all were taken; stays pending where the stream breaks
 * before. Rejects with what the reader throws; nothing is read after that.
 */
export function readMessages(stream: Http2Stream, reader: MessageReader): Promise<void> {
  return new Promise((resolve, reject) => {
    let waiting: Promise<void> | undefined;
    const fail = (error: unknown): void => {
      stream.off("data", take).resume(); // what still comes is thrown away, or the stream would never close
      reject(error);
    };
    const take = (chunk: Buffer): void => {
      try {
        if (waiting !== undefined) waiting = waiting.then(() => reader.push(chunk));
        else waiting = reader.push(chunk) ?? undefined;
      } catch (error) {
        fail(error);
        return;
      }
      if (waiting === undefined) return;
      const mine = waiting;
      stream.pause();
      mine.then(() => {
        if (waiting !== mine) return; // more came though the stream was paused
        waiting = undefined;
        stream.resume();
      }, fail);
    };
    stream.on("data", take);
    stream.once("end", () => {
      if (waiting === undefined) resolve();
      else waiting.then(resolve, fail);
    });
  });
}

/** What tells the end of messages apart from a break or from trailers comes in the same turn, before or after it. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
