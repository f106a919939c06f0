import { type IncomingMessage, request } from "node:http";
import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import { limitBody, MOST_BODY_BYTES, readBody, responseTo, systemCode } from "../base/index.ts";

export interface GetOptions {
  readonly host: string;
  readonly port: number;
  /** With the query, ready for the request line. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Limit for the whole exchange, body included. */
  readonly timeoutMs: number;
  /** Of the body, unpacked. Default `MOST_BODY_BYTES`. */
  readonly mostBytes?: number;
}

/**
 * Fetches a text over HTTP. Rejects when that fails, takes longer than the limit, is longer than the limit, or the status
 * is not 200.
 */
export async function httpGet(options: GetOptions): Promise<string> {
  return (await readBody(await httpStream(options), options.mostBytes)).toString();
}

/** The same, but resolves with the body as it comes, unpacked, as soon as the status is known to be 200. */
export async function httpStream(options: GetOptions): Promise<AsyncIterable<Uint8Array>> {
  const limit = AbortSignal.timeout(options.timeoutMs);
  try {
    const response = await begin(options, limit);
    if (response.statusCode !== 200) {
      response.destroy();
      throw new Error(`unexpected status ${response.statusCode}`);
    }
    return unpack(response, options, limit);
  } catch (error) {
    throw limit.aborted ? tooLate(options) : error;
  }
}

function begin({ host, port, path, headers }: GetOptions, signal: AbortSignal): Promise<IncomingMessage> {
  const words = { "Accept-Encoding": "gzip", ...headers };
  return responseTo(request({ host, port, path, agent: false, signal, headers: words }));
}

/** The limit holds for what comes out, so that a small packed body cannot become a huge one. */
async function* unpack(response: IncomingMessage, options: GetOptions, limit: AbortSignal): AsyncGenerator<Uint8Array> {
  const { host, port } = options;
  const isPacked = response.headers["content-encoding"] === "gzip";
  const body = isPacked ? pipeline(response, createGunzip(), () => undefined) : response; // a failure comes out below
  try {
    yield* limitBody(body, options.mostBytes ?? MOST_BODY_BYTES);
  } catch (error) {
    if (limit.aborted) throw tooLate(options);
    throw BROKEN_OFF.has(systemCode(error) ?? "") ? new Error(`${host}:${port} broke off its answer`) : error;
  } finally {
    response.destroy();
  }
}

const BROKEN_OFF = new Set(["ECONNRESET", "ERR_STREAM_PREMATURE_CLOSE"]);

function tooLate({ host, port, timeoutMs }: GetOptions): Error {
  return new Error(`no answer from ${host}:${port} within ${timeoutMs / 1_000}s`);
}
