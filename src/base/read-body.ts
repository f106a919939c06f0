/** For answers that are a few words or a few pages: what is longer is not the peer that was asked for. */
export const MOST_BODY_BYTES = 16 * 2 ** 20;

type Body<Piece> = AsyncIterable<Piece> | Iterable<Piece>;

/**
 * All bytes of a body. Rejects with an Error as soon as there are more than `mostBytes`, and then ends the source, so
 * that a peer cannot fill the agent's memory.
 */
export async function readBody(body: Body<Uint8Array>, mostBytes: number = MOST_BODY_BYTES): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of limitBody(body, mostBytes)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The same bytes, passed on as they come. Throws once there are more than `mostBytes`. */
export async function* limitBody<Piece extends Uint8Array>(
  body: Body<Piece>,
  mostBytes: number,
): AsyncGenerator<Piece, void, void> {
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > mostBytes) throw new Error(`the body is longer than ${describeBytes(mostBytes)}`);
    yield chunk;
  }
}

function describeBytes(bytes: number): string {
  const kibibytes = bytes / 1_024;
  return kibibytes < 1_024 ? `${Math.round(kibibytes)} KiB` : `${Math.round(kibibytes / 1_024)} MiB`;
}
