import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable, type Transform } from "node:stream";
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

/** Piece by piece, as fast as the client takes them. */
async function sendPieces(
  request: IncomingMessage,
  response: ServerResponse,
  body: AsyncIterable<string | Uint8Array>,
): Promise<void> {
  const pieces = Readable.from(body, { objectMode: false });
  if (request.method === "HEAD") {
    pieces.destroy();
    response.end();
    return;
  }
  const encoding = encode(request, response);
  try {
    await (encoding === undefined ? pipeline(pieces, response) : pipeline(pieces, encoding.pieces(), response));
  } catch (error) {
    if (systemCode(error) !== "ERR_STREAM_PREMATURE_CLOSE") throw error; // the client has left
  }
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

const FAST = { level: 1 }; // 5 ms for 4.7 MB; 6 takes 9

const gzip: Compressor = {
  whole: (body) => promisify(zlib.gzip as GzipWithLevel)(body, FAST),
  pieces: () => zlib.createGzip(FAST),
};
type Done = (error: Error | null, out: Buffer) => void;
type GzipWithLevel = (body: Buffer, options: zlib.ZlibOptions, done: Done) => void;

/** zstd came to Node's zlib with 22.15 and 23.8. */
const { zstdCompress, createZstdCompress } = zlib as {
  zstdCompress?: (body: Buffer, done: Done) => void;
  createZstdCompress?: () => Transform;
};

/** By the names that clients send: a map, because an object has names of its own. */
const COMPRESSORS: ReadonlyMap<string, Compressor> = new Map([
  ["gzip", gzip],
  ...(zstdCompress !== undefined && createZstdCompress !== undefined
    ? [["zstd", { whole: promisify(zstdCompress), pieces: createZstdCompress }] as const]
    : []),
]);
