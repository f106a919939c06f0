import { closeSync } from "node:fs";
import { Socket } from "node:net";
import type { Readable } from "node:stream";

/** What a process writes, chunk by chunk, read no faster than it is taken. Its end is also that of what cannot be read. */
export interface OutputReader {
  /** Undefined at the end. Never rejects. */
  next(): Promise<Buffer | undefined>;
  /** Ends the reading, also one that waits. */
  close(): void;
}

/**
 * Reads a pipe without blocking and without a thread of the pool, which an idle Envoy would hold for ever. Owns the
 * descriptor.
 */
export function readPipe(fd: number): OutputReader {
  const { Bun } = globalThis as { Bun?: BunFiles };
  return Bun === undefined ? readStream(new Socket({ fd, readable: true, writable: false })) : readByBun(Bun, fd);
}

/** Reads the stream of a child process. */
export function readStream(stream: Readable): OutputReader {
  stream.on("error", () => undefined); // told to whoever reads as the end
  const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  return {
    async next() {
      try {
        const { done, value } = await chunks.next();
        return done === true ? undefined : value;
      } catch {
        return undefined; // destroyed by `close`, or broken
      }
    },
    close: () => void stream.destroy(),
  };
}

interface BunFiles {
  file(fd: number): { stream(): ReadableStream<Uint8Array> };
}

/** In Bun neither `net.Socket` nor `fs.ReadStream` reads a pipe that does not block; its own files do. */
function readByBun({ file }: BunFiles, fd: number): OutputReader {
  const reader = file(fd).stream().getReader();
  let isClosed = false;
  const close = (): void => {
    if (isClosed) return;
    isClosed = true;
    reader.cancel().catch(() => undefined); // the end is what is wanted
    closeSync(fd); // the stream has a copy of its own
  };
  return {
    async next() {
      try {
        const { done, value } = await reader.read();
        if (!done) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
      } catch {
        // broken: that is its end
      }
      close();
      return undefined;
    },
    close,
  };
}
