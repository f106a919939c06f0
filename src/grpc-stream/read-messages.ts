import type { Http2Stream } from "node:http2";

/** Takes bytes as they come. A promise asks to wait with the next. */
export interface ByteTaker {
  push(chunk: Buffer): Promise<void> | void;
}

/**
 * Gives everything that arrives on a stream to the taker, and asks the other side for more only when it was taken.
 * Resolves once all was taken: with "ended" after the other side's last byte, with "broken" where the stream closes
 * before. Rejects with what the taker throws; nothing is read after that.
 *
 * Pieces are fetched, not received: on Bun a stream that is paused goes on to open the other side's window.
 */
export function readMessages(stream: Http2Stream, taker: ByteTaker): Promise<"ended" | "broken"> {
  return new Promise((resolve, reject) => {
    let isTaking = false;
    let over: "ended" | "broken" | undefined;
    const fail = (error: unknown): void => {
      isTaking = true; // for good
      stream.off("readable", take).resume(); // what still comes is thrown away, or the stream would never close
      reject(error);
    };
    const take = (): void => {
      if (isTaking) return;
      try {
        // a stream that was closed before it was read keeps what nobody has fetched
        for (let chunk: Buffer | null = stream.read(); chunk !== null; chunk = stream.read()) {
          const waiting = taker.push(chunk);
          if (waiting === undefined) continue;
          isTaking = true;
          waiting.then(() => {
            isTaking = false;
            take();
          }, fail);
          return;
        }
      } catch (error) {
        fail(error);
        return;
      }
      if (over !== undefined) resolve(over);
    };
    const finish = (how: "ended" | "broken"): void => {
      over ??= how;
      take();
    };
    stream.on("readable", take);
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
