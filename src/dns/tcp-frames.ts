import type { Socket } from "node:net";

/** A message with its length before it: RFC 1035 section 4.2.2. */
export function frame(message: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length, 0);
  return Buffer.concat([length, message]);
}

/** Gives each whole message of a connection to `take`. Holds at most one that is incomplete: 64 KiB. */
export function readFrames(socket: Socket, take: (message: Buffer) => void): void {
  let held: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    while (held.length >= 2) {
      const end = 2 + held.readUInt16BE(0);
      if (held.length < end) return;
      take(held.subarray(2, end));
      held = held.subarray(end);
    }
  });
}
