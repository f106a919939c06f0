import { describeError, type Logger } from "../base/index.ts";

/** What `rewrite` makes of a message; the message itself where nothing changes or its bytes cannot be read. Never throws. */
export function rewritten(message: Buffer, log: Logger, rewrite: (bytes: Uint8Array) => Uint8Array): Buffer {
  try {
    // a Buffer cuts parts out of itself several times slower than a plain array
    const bytes = new Uint8Array(message.buffer, message.byteOffset, message.length);
    const next = rewrite(bytes);
    return next === bytes ? message : Buffer.from(next.buffer, next.byteOffset, next.length);
  } catch (error) {
    log.debug("response cannot be read and is passed on", { reason: describeError(error) });
    return message;
  }
}
