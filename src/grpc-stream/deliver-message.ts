import { type MessageHandler, MessageReader } from "./message-reader.ts";

/** A message that is there, or can be fetched, but did not come over a stream. */
export interface LocalMessage {
  /** In bytes. */
  readonly length: number;
  /** All of it. */
  pieces(): AsyncIterable<Buffer>;
}

/**
 * Gives a message to a handler as if it came over a stream: a long one in pieces where the handler wants that. Rejects as
 * the handler and the pieces do, and when their lengths do not add up. Stops when `over` aborts.
 */
export async function deliverMessage(handler: MessageHandler, message: LocalMessage, over: AbortSignal): Promise<void> {
  const reader = new MessageReader(handler, { mostBytes: Number.POSITIVE_INFINITY });
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(message.length, 1);
  await reader.push(header);
  for await (const piece of message.pieces()) {
    if (over.aborted) return;
    await reader.push(piece);
  }
  if (!reader.isBetweenMessages) throw new Error(`a message has other than its ${message.length} bytes`);
}

const HEADER_BYTES = 5;
