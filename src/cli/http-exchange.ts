import { type HttpAnswer, httpRequest, NoAnswerError } from "../base/index.ts";
import { loopbackHosts, onFirstHost } from "./loopback.ts";

export interface ExchangeOptions {
  readonly method: string;
  readonly url: URL;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
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
  const { url, timeoutMs } = options;
  const untilMs = performance.now() + timeoutMs;
  try {
    return await follow(options, untilMs, 0);
  } catch (error) {
    if (error instanceof NoAnswerError) throw new Error(`no answer from ${url.host} within ${timeoutMs}ms`);
    throw error;
  }
}

async function follow(options: ExchangeOptions, untilMs: number, redirects: number): Promise<Exchanged> {
  const answer = await once({ ...options, timeoutMs: Math.max(0, untilMs - performance.now()) });
  const { status, headers } = answer;
  const body = answer.body.toString("utf8");
  if (headers.location === undefined || ![301, 302, 303, 307, 308].includes(status)) return { status, body };
  if (redirects === MOST_REDIRECTS) throw new Error(`stopped after ${MOST_REDIRECTS} redirects`);
  const url = new URL(headers.location, options.url);
  const keepsMethod = status >= 307 || options.method === "GET" || options.method === "HEAD";
  if (keepsMethod) return follow({ ...options, url }, untilMs, redirects + 1);
  const { body: _dropped, ...rest } = options;
  return follow({ ...rest, url, method: "GET" }, untilMs, redirects + 1);
}

/** `localhost` is the loopback address on which a program listens: a machine may lack one, and /etc/hosts either name. */
function once({ url, ...options }: ExchangeOptions): Promise<HttpAnswer> {
  const limited = { ...options, mostBytes: MOST_BYTES };
  if (url.hostname !== "localhost") return httpRequest(url, limited);
  return onFirstHost(loopbackHosts(undefined), (connectTo) => httpRequest(url, { ...limited, connectTo }));
}
