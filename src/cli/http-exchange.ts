import { request as requestHttp } from "node:http";
import { type RequestOptions, request as requestHttps } from "node:https";
import { lookupForSocket, readBody, responseTo, VERIFIED_TLS } from "../base/index.ts";
import { loopbackHosts, onFirstHost } from "./loopback.ts";

export interface ExchangeOptions {
  readonly method: string;
  readonly url: URL;
  readonly body?: string;
  /** Limit for the whole exchange, redirects included. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface Exchanged {
  readonly status: number;
  readonly body: string;
}

const MOST_REDIRECTS = 10;
/** Envoy's `/config_dump` of a large mesh has some tens of megabytes. */
const MOST_BYTES = 256 * 2 ** 20;

/** One HTTP exchange as Go's client makes it: redirects are followed, any status is an answer. Rejects when none came. */
export async function exchange(options: ExchangeOptions): Promise<Exchanged> {
  const limit = AbortSignal.timeout(options.timeoutMs);
  const signal = AbortSignal.any([limit, options.signal]);
  try {
    return await follow({ ...options, signal }, 0);
  } catch (error) {
    if (limit.aborted) throw new Error(`no answer from ${options.url.host} within ${options.timeoutMs}ms`);
    options.signal.throwIfAborted();
    throw error;
  }
}

async function follow(options: ExchangeOptions, redirects: number): Promise<Exchanged> {
  const { status, location, body } = await once(options);
  if (location === undefined || ![301, 302, 303, 307, 308].includes(status)) return { status, body };
  if (redirects === MOST_REDIRECTS) throw new Error(`stopped after ${MOST_REDIRECTS} redirects`);
  const url = new URL(location, options.url);
  const keepsMethod = status >= 307 || options.method === "GET" || options.method === "HEAD";
  if (keepsMethod) return follow({ ...options, url }, redirects + 1);
  const { body: _dropped, ...rest } = options;
  return follow({ ...rest, url, method: "GET" }, redirects + 1);
}

type Answer = Exchanged & { readonly location: string | undefined };

/** `localhost` is whichever loopback address somebody listens on: a machine may lack one, and /etc/hosts either name. */
function once(options: ExchangeOptions): Promise<Answer> {
  if (options.url.hostname !== "localhost") return ask(options, {});
  const headers = { host: options.url.host };
  return onFirstHost(loopbackHosts(undefined), (hostname) =>
    ask(options, { hostname, headers, servername: "localhost" }),
  );
}

async function ask({ method, url, body, signal }: ExchangeOptions, where: RequestOptions): Promise<Answer> {
  const request = url.protocol === "https:" ? requestHttps : requestHttp;
  const words = { method, agent: false, signal, lookup: lookupForSocket, ...VERIFIED_TLS, ...where };
  const response = await responseTo(request(url, words), body);
  const bytes = await readBody(response, MOST_BYTES);
  return { status: response.statusCode ?? 0, location: response.headers.location, body: bytes.toString("utf8") };
}
