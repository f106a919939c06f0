import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from "node:http";
import { isIP, type Socket } from "node:net";
import { describeError } from "./errors.ts";
import { type Limit, startLimit } from "./limit.ts";
import { lookupForSocket, permittedLookup } from "./lookup-host.ts";
import { limitBody, MOST_BODY_BYTES, readBody } from "./read-body.ts";
import { type TlsWords, UNVERIFIED_TLS, VERIFIED_TLS } from "./verified-tls.ts";

/** Where a request goes without TLS. `path` is sent as it is written, with its query. */
export type HttpPlace =
  | { readonly host: string; readonly port: number; readonly path: string }
  | { readonly socketPath: string; readonly path: string };

/** What a connection may be made to. */
export interface ConnectOptions {
  /**
   * Judges each address of the URL's host before a connection to it; a text says why not. Addresses that are refused are
   * passed over. Of a host behind `connectTo` or `socket` it judges an address that the URL itself has. Default: every address is fine.
   */
  readonly permits?: ((address: string) => string | undefined) | undefined;
}

interface CommonOptions extends ConnectOptions {
  /** Default: GET. */
  readonly method?: string;
  /** A list is sent as several headers of one name. */
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: string;
  /** The address to connect to, instead of the URL's host. That stays the name of the `Host` header and of TLS. */
  readonly connectTo?: string;
  /** A connection to the URL's host that is there already, such as a tunnel; over it TLS is set up. */
  readonly socket?: Socket | undefined;
  /** PEM: the roots that are trusted, instead of the built-in ones. */
  readonly roots?: readonly string[] | undefined;
  /** The server's certificate may be anybody's. Default: it is verified. */
  readonly isUnverified?: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Of the response's body. Default: `MOST_BODY_BYTES`. */
  readonly mostBytes?: number | undefined;
}

/**
 * One of the two limits: for the whole exchange, body included, or for each time in which nothing comes; how long the
 * reader of a body takes does not count then.
 */
export type HttpOptions = CommonOptions & ({ readonly timeoutMs: number } | { readonly silenceMs: number });

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** A response whose body is still to come. Read the body, or dispose it: both end the connection. */
export interface HttpStream extends Disposable {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: AsyncIterable<Buffer>;
}

/** No answer, or not all of it, came within the limit. */
export class NoAnswerError extends Error {}

/** The server closed the connection before its answer was whole. */
export class CutAnswerError extends Error {}

/**
 * One HTTP exchange over a connection of its own; any status is an answer, and no redirect is followed. Rejects with
 * NoAnswerError, the reason of `signal`, or an Error of what failed: that of the system where no connection came about.
 * Not by `fetch`: on Bun that goes through `HTTP_PROXY`, and it looks up names in another way.
 */
export async function httpRequest(to: URL | HttpPlace, options: HttpOptions): Promise<HttpAnswer> {
  const { status, headers, body } = await httpStream(to, options);
  return { status, headers, body: await readBody(body, Number.POSITIVE_INFINITY) };
}

/** The same, but resolves as soon as status and headers have come. What fails later is thrown where the body is read. */
export async function httpStream(to: URL | HttpPlace, options: HttpOptions): Promise<HttpStream> {
  const limit = limitOf(options);
  try {
    const call = await send(to, options, limit.signal);
    const response = await responseTo(call, options.body);
    limit.pause();
    const end = (): void => {
      call.destroy(); // the response's own would leave the connection open where it has all of it
      limit[Symbol.dispose]();
    };
    return {
      ...{ status: response.statusCode ?? 0, headers: response.headers },
      body: limitBody(piecesOf(response, limit, end), options.mostBytes ?? MOST_BODY_BYTES),
      [Symbol.dispose]: end,
    };
  } catch (error) {
    limit[Symbol.dispose]();
    throw limit.signal.aborted ? limit.signal.reason : error;
  }
}

/** Loads what it needs and no more: TLS takes milliseconds of a start that has no use for it yet. */
async function send(to: URL | HttpPlace, options: HttpOptions, signal: AbortSignal): Promise<ClientRequest> {
  const { method = "GET", headers = {}, connectTo, roots, socket, isUnverified = false, permits } = options;
  const tls = { ...(isUnverified ? UNVERIFIED_TLS : VERIFIED_TLS), ...(roots !== undefined && { ca: [...roots] }) };
  const lookup = permits === undefined ? lookupForSocket : permittedLookup(permits);
  const words = { method, headers, signal, agent: false, lookup, ...tls };
  const isSecure = to instanceof URL && to.protocol === "https:";
  const { request } = isSecure ? await import("node:https") : await import("node:http");
  if (!(to instanceof URL)) return request({ ...words, ...to });
  if (permits !== undefined) refuseAddress(to, permits);
  const asNamed = { ...words, headers: { host: to.host, ...headers } };
  if (connectTo !== undefined) return request(to, { ...asNamed, hostname: connectTo, servername: to.hostname });
  if (socket === undefined) return request(to, words);
  const connection = isSecure ? await secured(socket, to, tls) : socket;
  return request(to, { ...asNamed, agent: undefined, createConnection: () => connection });
}

/** A host that is an address is not looked up. */
function refuseAddress({ hostname }: URL, permits: NonNullable<ConnectOptions["permits"]>): void {
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  const why = isIP(host) === 0 ? undefined : permits(host);
  if (why !== undefined) throw new Error(why);
}

async function secured(socket: Socket, { hostname }: URL, tls: TlsWords): Promise<Socket> {
  const { connect } = await import("node:tls");
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  return connect({ socket, host, ...(isIP(host) === 0 && { servername: host }), ...tls });
}

/** Where silence is limited, the clock stands still while nothing is awaited; else it runs on until the end. */
function limitOf(options: HttpOptions): Limit {
  const isSilence = "silenceMs" in options;
  const limitMs = isSilence ? options.silenceMs : options.timeoutMs;
  const limit = startLimit(options.signal, limitMs, () => new NoAnswerError(`no answer within ${limitMs} ms`));
  return isSilence ? limit : { ...limit, pause: () => undefined, restart: () => undefined };
}

/**
 * Resolves with the response. Rejects with what the request fails with, and also when its connection ends without a
 * response: to `101 Switching Protocols`, which nobody here asks for, Node and Bun close the connection and say nothing of
 * it, not even when the request's signal aborts later.
 */
function responseTo(call: ClientRequest, body: string | undefined): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    call.once("response", resolve);
    call.on("error", reject); // stays: a failure after the response is the body's, too
    call.once("close", () => reject(new CutAnswerError("the connection closed without an answer")));
    call.end(body);
  });
}

async function* piecesOf(response: IncomingMessage, limit: Limit, end: () => void): AsyncGenerator<Buffer> {
  limit.restart();
  try {
    for await (const piece of response) {
      limit.pause();
      yield piece as Buffer;
      limit.restart();
    }
  } catch (error) {
    if (limit.signal.aborted) throw limit.signal.reason;
    throw new CutAnswerError(`the answer ended early: ${describeError(error)}`, { cause: error });
  } finally {
    end();
  }
}
