import type { IncomingMessage, ServerResponse } from "node:http";
import { promisify } from "node:util";
import * as zlib from "node:zlib";

export interface Reply {
  readonly status: number;
  readonly body: string;
  /** Default: plain text when there is a body. */
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

type Compress = (body: Buffer) => Promise<Buffer>;

/** Bodies below this size are not worth it. Source: klauspost/compress gzhttp, which Istio's status server uses. */
const LEAST_COMPRESSED_BYTES = 1_024;

/** Sends the reply, compressed when the client asks for it. Resolves when all of it has left, or the client has. */
export async function send(request: IncomingMessage, response: ServerResponse, reply: Reply): Promise<void> {
  request.resume();
  response.statusCode = reply.status;
  response.setHeader("Vary", "Accept-Encoding");
  for (const [name, value] of Object.entries(reply.headers ?? {})) response.setHeader(name, value);
  const body = Buffer.from(reply.body);
  if (body.length > 0) response.setHeader("Content-Type", reply.contentType ?? "text/plain; charset=utf-8");
  const encoding =
    body.length >= LEAST_COMPRESSED_BYTES ? chooseEncoding(request.headers["accept-encoding"]) : undefined;
  const isHead = request.method === "HEAD";
  if (encoding !== undefined && !isHead) response.setHeader("Content-Encoding", encoding);
  const bytes = encoding === undefined || isHead ? body : await (COMPRESSORS[encoding] ?? same)(body);
  response.setHeader("Content-Length", bytes.length);
  await new Promise<void>((resolve) => {
    response.once("finish", resolve).once("close", resolve);
    response.end(isHead ? undefined : bytes);
  });
}

/** The content encoding to use, or undefined for none. Only encodings named by the client count; zstd wins a tie. */
export function chooseEncoding(accepted: string | undefined): string | undefined {
  let best: { name: string; q: number } | undefined;
  for (const item of (accepted ?? "").split(",")) {
    const [name = "", ...parameters] = item.split(";").map((part) => part.trim().toLowerCase());
    const q = Number(parameters.find((part) => part.startsWith("q="))?.slice(2) ?? 1);
    if (!(name in COMPRESSORS) || !(q > 0)) continue;
    if (best === undefined || q > best.q || (q === best.q && name === "zstd")) best = { name, q };
  }
  return best?.name;
}

const same: Compress = async (body) => body;
const gzip: Compress = (body) => promisify(zlib.gzip as GzipWithLevel)(body, { level: 1 }); // 5 ms for 4.7 MB; 6 takes 9
type GzipWithLevel = (
  body: Buffer,
  options: zlib.ZlibOptions,
  done: (error: Error | null, out: Buffer) => void,
) => void;

/** zstd came to Node's zlib with 22.15 and 23.8. */
const zstd = (zlib as { zstdCompress?: (body: Buffer, done: (error: Error | null, out: Buffer) => void) => void })
  .zstdCompress;

const COMPRESSORS: Readonly<Record<string, Compress>> = {
  gzip,
  ...(zstd !== undefined && { zstd: promisify(zstd) }),
};
