import type { Http2Stream } from "node:http2";
import { isBun } from "../base/index.ts";

/** Takes bytes as they come. A promise asks to wait with the next. */
export interface ByteTaker {
  push(chunk: Buffer): Promise<void> | void;
}

/**
 * Gives everything that arrives on a stream to the taker, and asks the other side for more only when it was taken.
 * Resolves once all was taken: with "ended" after the other side's last byte, with "broken" where the stream closes
 * before. Rejects with what the taker throws; nothing is read after that.
 *
 * On Node a stream flows until a taker asks to wait: a large message costs a fifth less than one whose pieces are fetched.
 * On Bun they are fetched, because a stream that is paused there goes on to open the other side's window.
 */
export function readMessages(stream: Http2Stream, taker: ByteTaker): Promise<"ended" | "broken"> {
  return new Promise((resolve, reject) => {
    let isTaking = false;
    let over: "ended" | "broken" | undefined;
    const fail = (error: unknown): void => {
      isTaking = true; // for good
      stream.off("readable", fetchAll).off("data", take).resume(); // what still comes is thrown away, or the stream would never close
      reject(error);
    };
    const take = (chunk: Buffer): void => {
      try {
        const waiting = taker.push(chunk);
        if (waiting === undefined) return;
        isTaking = true;
        if (!isBun) stream.pause();
        waiting.then(() => {
          isTaking = false;
          if (isBun || over !== undefined) fetchAll();
          else stream.resume();
        }, fail);
      } catch (error) {
        fail(error);
      }
    };
    /** A stream that was closed before it was read keeps what nobody has fetched. */
    const fetchAll = (): void => {
      while (!isTaking) {
        const chunk: Buffer | null = stream.read();
        if (chunk === null) break;
        take(chunk);
      }
      if (!isTaking && over !== undefined) resolve(over);
    };
    const finish = (how: "ended" | "broken"): void => {
      over ??= how;
      fetchAll();
    };
    if (isBun) stream.on("readable", fetchAll);
    else stream.on("data", take);
    stream.once("end", () => finish("ended"));
    stream.once("close", () => finish("broken"));
    // what was over before anybody read
    if (stream.readableEnded) finish("ended");
    else if (stream.destroyed) finish("broken");
  });
}

/** What tells the end of messages apart from a break or from trailers comes in the same turn, before or after it. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
