import type { IncomingMessage, ServerResponse } from "node:http";
import type { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import * as zlib from "node:zlib";
import { systemCode } from "../base/index.ts";

export interface Reply {
  readonly status: number;
  /** Pieces when it may be too long to be held as a whole; one that fails ends the connection. */
  readonly body: string | AsyncIterable<string | Uint8Array>;
  /** Default: plain text when there is a body. */
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Bodies below this size are not worth it. Source: klauspost/compress gzhttp, which Istio's status server uses. */
const LEAST_COMPRESSED_BYTES = 1_024;

/**
 * Sends the reply, compressed when the client asks for it. Resolves when all of it has left, or the client has; rejects
 * when its body fails.
 */
export async function send(request: IncomingMessage, response: ServerResponse, reply: Reply): Promise<void> {
  request.resume();
  response.statusCode = reply.status;
  response.setHeader("Vary", "Accept-Encoding");
  for (const [name, value] of Object.entries(reply.headers ?? {})) response.setHeader(name, value);
  if (reply.body !== "") response.setHeader("Content-Type", reply.contentType ?? "text/plain; charset=utf-8");
  if (typeof reply.body === "string") await sendWhole(request, response, Buffer.from(reply.body));
  else await sendPieces(request, response, reply.body);
}

async function sendWhole(request: IncomingMessage, response: ServerResponse, body: Buffer): Promise<void> {
  const isHead = request.method === "HEAD";
  const encoding = body.length < LEAST_COMPRESSED_BYTES || isHead ? undefined : encode(request, response);
  const bytes = encoding === undefined ? body : await encoding.whole(body);
  response.setHeader("Content-Length", bytes.length);
  await new Promise<void>((resolve) => {
    response.once("finish", resolve).once("close", resolve);
    response.end(isHead ? undefined : bytes);
  });
}

/** Piece by piece, as fast as the client takes them; a body that turns out to be short goes as a whole. */
async function sendPieces(
  request: IncomingMessage,
  response: ServerResponse,
  body: AsyncIterable<string | Uint8Array>,
): Promise<void> {
  const pieces = body[Symbol.asyncIterator]();
  if (request.method === "HEAD") {
    await pieces.return?.();
    response.end();
    return;
  }
  const leave = async (): Promise<unknown> => pieces.return?.();
  response.once("close", () => void leave().catch(() => undefined)); // ends a body that still waits; its failure is told elsewhere
  const isPacked = !isLive(response) && chooseEncoding(request.headers["accept-encoding"]) !== undefined;
  const first = isPacked ? await firstBytes(pieces, LEAST_COMPRESSED_BYTES) : { held: [], isAll: false };
  if (first.isAll) return sendWhole(request, response, Buffer.concat(first.held));
  const encoding = isPacked ? encode(request, response) : undefined;
  const all = joined(first.held, pieces);
  try {
    await (encoding === undefined ? pipeline(all, response) : pipeline(inBatches(all), encoding.pieces(), response));
  } catch (error) {
    if (systemCode(error) !== "ERR_STREAM_PREMATURE_CLOSE") throw error; // the client has left
  }
}

/** Whether somebody waits for each piece: a compressor would hold it back. */
function isLive(response: ServerResponse): boolean {
  return String(response.getHeader("Content-Type")).startsWith("text/event-stream");
}

type Pieces = AsyncIterator<string | Uint8Array>;

/** The pieces in which the first `bytes` of a body come, or all pieces of a shorter one. */
async function firstBytes(pieces: Pieces, bytes: number): Promise<{ held: Buffer[]; isAll: boolean }> {
  const held: Buffer[] = [];
  for (let count = 0; count < bytes; ) {
    const { value, done } = await pieces.next();
    if (done === true) return { held, isAll: true };
    const piece = Buffer.from(value as string);
    held.push(piece);
    count += piece.length;
  }
  return { held, isAll: false };
}

async function* joined(held: readonly Buffer[], pieces: Pieces): AsyncGenerator<string | Uint8Array> {
  yield* held;
  yield* { [Symbol.asyncIterator]: () => pieces };
}

/** Every write to a compressor is a trip to another thread, so that few large pieces take half the time of small ones. */
const BATCH_BYTES = 256 * 2 ** 10;

async function* inBatches(pieces: AsyncIterable<string | Uint8Array>): AsyncGenerator<Buffer> {
  let held: Buffer[] = [];
  let bytes = 0;
  for await (const one of pieces) {
    const piece = Buffer.from(one as string);
    held.push(piece);
    bytes += piece.length;
    if (bytes < BATCH_BYTES) continue;
    yield Buffer.concat(held, bytes);
    held = [];
    bytes = 0;
  }
  if (bytes > 0) yield Buffer.concat(held, bytes);
}

/** Tells the client how the body is encoded, if it is. */
function encode(request: IncomingMessage, response: ServerResponse): Compressor | undefined {
  const name = chooseEncoding(request.headers["accept-encoding"]);
  if (name !== undefined) response.setHeader("Content-Encoding", name);
  return name === undefined ? undefined : COMPRESSORS.get(name);
}

/** The content encoding to use, or undefined for none. Only encodings named by the client count; zstd wins a tie. */
export function chooseEncoding(accepted: string | undefined): string | undefined {
  let best: { name: string; q: number } | undefined;
  for (const item of (accepted ?? "").split(",")) {
    const [name = "", ...parameters] = item.split(";").map((part) => part.trim().toLowerCase());
    const q = Number(parameters.find((part) => part.startsWith("q="))?.slice(2) ?? 1);
    if (!COMPRESSORS.has(name) || !(q > 0)) continue;
    if (best === undefined || q > best.q || (q === best.q && name === "zstd")) best = { name, q };
  }
  return best?.name;
}

interface Compressor {
  whole(body: Buffer): Promise<Buffer>;
  pieces(): Transform;
}

/** Level 6 takes twice the time. */
const FAST = { level: 1, chunkSize: 64 * 2 ** 10 };

const gzip: Compressor = {
  whole: (body) => promisify(zlib.gzip as GzipWithLevel)(body, FAST),
  pieces: () => zlib.createGzip(FAST),
};
type Done = (error: Error | null, out: Buffer) => void;
type GzipWithLevel = (body: Buffer, options: zlib.ZlibOptions, done: Done) => void;

/** zstd came to Node's zlib with 22.15 and 23.8. */
const { zstdCompress, createZstdCompress } = zlib as {
  zstdCompress?: (body: Buffer, options: object, done: Done) => void;
  createZstdCompress?: (options: object) => Transform;
};
/** ZSTD_c_compressionLevel: a quarter less processor time than the default for a scrape, which comes out no longer. */
const FAST_ZSTD = { params: { 100: 1 } };

/** By the names that clients send: a map, because an object has names of its own. */
const COMPRESSORS: ReadonlyMap<string, Compressor> = new Map([
  ["gzip", gzip],
  ...(zstdCompress !== undefined && createZstdCompress !== undefined
    ? [["zstd", zstdOf(promisify(zstdCompress), createZstdCompress)] as const]
    : []),
]);

function zstdOf(
  compress: (body: Buffer, options: object) => Promise<Buffer>,
  create: (options: object) => Transform,
): Compressor {
  return { whole: (body) => compress(body, FAST_ZSTD), pieces: () => create(FAST_ZSTD) };
}
