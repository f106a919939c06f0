import type { Http2Stream } from "node:http2";

/** Takes bytes as they come. A promise asks to wait with the next. */
export interface ByteTaker {
  push(chunk: Buffer): Promise<void> | void;
}

/**
 * Gives everything that arrives on a stream to the taker, and asks the other side for more only when it was taken.
 * Resolves once all was taken: with "ended" after the other side's last byte, with "broken" where the stream closes
 * before. Rejects with what the taker throws; nothing is read after that.
 */
export function readMessages(stream: Http2Stream, taker: ByteTaker): Promise<"ended" | "broken"> {
  return new Promise((resolve, reject) => {
    let waiting: Promise<void> | undefined;
    let isOver = false;
    const fail = (error: unknown): void => {
      isOver = true;
      stream.off("data", take).resume(); // what still comes is thrown away, or the stream would never close
      reject(error);
    };
    const take = (chunk: Buffer): void => {
      try {
        if (waiting !== undefined) waiting = waiting.then(() => taker.push(chunk));
        else waiting = taker.push(chunk) ?? undefined;
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
        if (!isOver) stream.resume();
      }, fail);
    };
    const finish = (how: "ended" | "broken"): void => {
      if (isOver) return;
      isOver = true;
      if (waiting === undefined) resolve(how);
      else waiting.then(() => resolve(how), reject);
    };
    stream.on("data", take);
    stream.once("end", () => finish("ended"));
    stream.once("close", () => {
      if (isOver) return;
      stream.off("data", take);
      // a stream that is closed while it is paused keeps what nobody has read
      for (let rest = stream.read(); rest !== null; rest = stream.read()) take(rest);
      finish("broken");
    });
  });
}

/** What tells the end of messages apart from a break or from trailers comes in the same turn, before or after it. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
