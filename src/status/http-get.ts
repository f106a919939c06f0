import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import {
  type HttpStream,
  httpStream,
  joinHostPort,
  limitBody,
  MOST_BODY_BYTES,
  NoAnswerError,
  readBody,
} from "../base/index.ts";

export interface GetOptions {
  readonly host: string;
  readonly port: number;
  /** With the query, ready for the request line. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Limit for the whole exchange, body included. */
  readonly timeoutMs: number;
  /** `timeoutMs` is the longest silence instead, however long the body takes. */
  readonly isSilence?: boolean;
  /** How many are followed, to the same server. Default 0. */
  readonly redirects?: number;
  /** Of the body, unpacked. Default `MOST_BODY_BYTES`. */
  readonly mostBytes?: number;
}

/**
 * Fetches a text over HTTP. Rejects when that fails, takes longer than the limit, is longer than the limit, or the status
 * is not 200.
 */
export async function httpGet(options: GetOptions): Promise<string> {
  return (await readBody((await httpGetStream(options)).body, options.mostBytes)).toString();
}

/** A body as it comes, unpacked. */
export interface StreamedAnswer extends Disposable {
  readonly contentType: string | undefined;
  readonly body: AsyncIterable<Uint8Array>;
}

/** The same, but resolves as soon as the status is known to be 200. */
export async function httpGetStream(options: GetOptions): Promise<StreamedAnswer> {
  const { host, port, path, headers, timeoutMs, mostBytes = MOST_BODY_BYTES } = options;
  const limit = options.isSilence === true ? { silenceMs: timeoutMs } : { timeoutMs };
  const words = { headers: { "Accept-Encoding": "gzip", ...headers }, ...limit, mostBytes };
  const startMs = performance.now();
  const response = await httpStream({ host, port, path }, words).catch((error: unknown) => {
    throw named(error, options);
  });
  if (response.status === 200) {
    const dispose = (): void => response[Symbol.dispose]();
    return {
      contentType: response.headers["content-type"],
      body: unpack(response, options),
      [Symbol.dispose]: dispose,
    };
  }
  response[Symbol.dispose]();
  const next = targetOf(response, options);
  const leftMs = Math.ceil(timeoutMs - (performance.now() - startMs));
  if (next !== undefined && leftMs > 0) return httpGetStream({ ...next, timeoutMs: leftMs });
  throw new Error(`unexpected status ${response.status}`);
}

/** Where a redirect leads: only to the same server, and not for ever. */
function targetOf({ status, headers }: HttpStream, options: GetOptions): GetOptions | undefined {
  const { host, port, path, redirects = 0 } = options;
  const from = `http://${joinHostPort(host, port)}${path}`;
  const { location } = headers;
  if (redirects <= 0 || ![301, 302, 303, 307, 308].includes(status)) return undefined;
  if (location === undefined || !URL.canParse(location, from)) return undefined;
  const to = new URL(location, from);
  if (to.origin !== new URL(from).origin) return undefined;
  return { ...options, path: to.pathname + to.search, redirects: redirects - 1 };
}

async function* unpack(response: HttpStream, options: GetOptions): AsyncGenerator<Uint8Array> {
  const isPacked = response.headers["content-encoding"] === "gzip";
  try {
    yield* isPacked ? unzip(response.body, options) : response.body;
  } catch (error) {
    throw named(error, options);
  } finally {
    response[Symbol.dispose]();
  }
}

/** The limit holds for what comes out, too, so that a small packed body cannot become a huge one. */
function unzip(body: HttpStream["body"], { mostBytes = MOST_BODY_BYTES }: GetOptions): AsyncIterable<Uint8Array> {
  const unpacked = pipeline(body, createGunzip({ chunkSize: UNPACKED_BYTES }), () => undefined); // a failure comes out of it
  return limitBody(unpacked, mostBytes);
}

/** Of one piece: that of the socket, so that what is unpacked goes on in no more pieces. */
const UNPACKED_BYTES = 64 * 2 ** 10;

function named(error: unknown, { host, port, timeoutMs }: GetOptions): unknown {
  return error instanceof NoAnswerError
    ? new Error(`no answer from ${host}:${port} within ${timeoutMs / 1_000}s`)
    : error;
}
