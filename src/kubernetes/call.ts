import { type ClientRequest, type IncomingMessage, request } from "node:http";
import type { Duplex } from "node:stream";
import {
  CutAnswerError,
  httpRequest,
  NoAnswerError,
  readBody,
  startLimit,
  systemClock,
  systemCode,
} from "../base/index.ts";
import type { Authenticator } from "./authenticator.ts";
import type { Dial } from "./dial.ts";

/** What is needed to speak to one API server. */
export interface Line {
  /** `https://host:port/prefix`. */
  readonly url: string;
  readonly authenticator: Authenticator;
  readonly dial: Dial;
  /** Of one request, its repetitions included. */
  readonly limitMs: number;
}

export interface KubeCall {
  /** PATCH: a JSON merge patch (RFC 7386). */
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  /** With the query. */
  readonly path: string;
  readonly body?: unknown;
  readonly signal: AbortSignal;
}

export interface KubeAnswer {
  readonly status: number;
  readonly body: string;
  /** Of its `Date` header. */
  readonly dateMs?: number | undefined;
}

/** An API server that is busy, or cuts the connection, is asked again: three times in all. */
const ATTEMPTS = 3;
const BUSY = [429, 502, 503, 504];
const CUT = ["ECONNRESET", "EPIPE"];
const PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5_000;

/**
 * Asks until there is an answer that is worth telling: once more with new credentials after a 401, and again when the server
 * is busy or has cut the connection. Any status is an answer. Rejects with the failure of the last attempt.
 */
export async function send(line: Line, call: KubeCall): Promise<KubeAnswer> {
  let { headers, generation } = await requestHeaders(line, call.signal); // a plugin may ask somebody to log in: that is not limited here
  let wasRenewed = false;
  let last: unknown;
  let untilMs = Date.now() + line.limitMs;
  for (let attempt = 1; ; attempt++) {
    const leftMs = untilMs - Date.now();
    if (leftMs <= 0) throw new Error(`no answer within ${line.limitMs / 1_000} s`, { cause: last });
    using limit = startLimit(call.signal, leftMs, () => new Error(`no answer within ${leftMs / 1_000} s`));
    const answer = await sendOnce(line, { ...call, headers }, limit.signal).catch((error: unknown) => {
      call.signal.throwIfAborted();
      if (limit.signal.aborted) throw new Error(`no answer within ${line.limitMs / 1_000} s`, { cause: last });
      last = error;
      if (!isCut(error) || attempt >= ATTEMPTS) throw error;
      return undefined;
    });
    if (answer?.status === 401 && !wasRenewed && line.authenticator.renew(generation)) {
      wasRenewed = true;
      const askedMs = Date.now();
      ({ headers, generation } = await requestHeaders(line, call.signal));
      untilMs += Date.now() - askedMs;
      continue;
    }
    const pauseMs = Math.min(answer?.retryAfterMs ?? PAUSE_MS * attempt, LONGEST_PAUSE_MS);
    const isWorthTelling = answer !== undefined && (!BUSY.includes(answer.status) || attempt >= ATTEMPTS);
    if (isWorthTelling || (answer !== undefined && Date.now() + pauseMs >= untilMs)) return answer;
    await systemClock.sleep(pauseMs, limit.signal).catch(() => call.signal.throwIfAborted()); // the next attempt tells it
  }
}

function isCut(error: unknown): boolean {
  if (error instanceof NoAnswerError) return false;
  return error instanceof CutAnswerError || CUT.includes(systemCode(error) ?? "");
}

async function sendOnce(line: Line, call: KubeCall & { readonly headers: Headers }, signal: AbortSignal) {
  const { method, path, body, headers } = call;
  const url = new URL(`${line.url.replace(/^https:/, "http:").replace(/\/$/, "")}${path}`); // TLS is in the socket
  const socket = await line.dial(signal);
  try {
    const answer = await httpRequest(url, {
      ...{ method, socket, signal, timeoutMs: line.limitMs, mostBytes: MOST_BYTES },
      headers: body === undefined ? headers : { ...headers, "Content-Type": CONTENT_TYPES[method] },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const seconds = Number(answer.headers["retry-after"] ?? Number.NaN);
    const retryAfterMs = seconds >= 0 ? seconds * 1_000 : undefined;
    const dateMs = answer.headers.date === undefined ? undefined : Date.parse(String(answer.headers.date));
    return { status: answer.status, body: answer.body.toString("utf8"), retryAfterMs, dateMs };
  } finally {
    socket.destroy();
  }
}

const CONTENT_TYPES: Readonly<Record<KubeCall["method"], string>> = {
  GET: "application/json",
  POST: "application/json",
  PATCH: "application/merge-patch+json",
  DELETE: "application/json",
};

/** Of a list. */
const MOST_BYTES = 64 * 2 ** 20;

export type Upgraded =
  | { readonly socket: Duplex; readonly head: Buffer; readonly response: IncomingMessage }
  /** The server answered something else than 101. */
  | (KubeAnswer & { readonly socket?: undefined });

/** The other side of the credentials that were sent, for `Authenticator.renew`. */
export type Generation = { readonly generation: number };

/** Asks for another protocol on a connection of its own, once. */
export async function upgrade(
  line: Line,
  { method, path, signal }: Omit<KubeCall, "body">,
  headers: Readonly<Record<string, string>>,
): Promise<Upgraded & Generation> {
  const own = await requestHeaders(line, signal);
  const all = { ...own.headers, Connection: "Upgrade", ...headers };
  const { hostname, port, pathname } = new URL(line.url);
  const place = { host: hostname, port, path: `${pathname.replace(/\/$/, "")}${path}` };
  using limit = startLimit(signal, line.limitMs, () => new Error(`no answer within ${line.limitMs / 1_000} s`));
  const socket = await line.dial(limit.signal);
  const end = (): void => void socket.destroy(limit.signal.reason);
  limit.signal.addEventListener("abort", end);
  try {
    const upgraded = await upgradedOr(request({ ...place, method, headers: all, createConnection: () => socket }));
    return { ...upgraded, generation: own.generation };
  } catch (error) {
    socket.destroy();
    throw limit.signal.aborted ? limit.signal.reason : error;
  } finally {
    limit.signal.removeEventListener("abort", end);
  }
}

function upgradedOr(asked: ClientRequest): Promise<Upgraded> {
  return new Promise((resolve, reject) => {
    asked.once("upgrade", (response, socket, head) => resolve({ socket, head, response }));
    asked.on("error", reject);
    const cut = (): void => reject(new CutAnswerError("the connection closed without an answer"));
    asked.once("close", cut);
    asked.once("response", (response: IncomingMessage) => {
      asked.off("close", cut); // it may close before its body is read, and readBody knows whether that is whole
      readBody(response)
        .then((bytes) => resolve({ status: response.statusCode ?? 0, body: bytes.toString("utf8") }))
        .catch(reject)
        .finally(() => asked.destroy());
    });
    asked.end();
  });
}

type Headers = Readonly<Record<string, string | string[]>>;

async function requestHeaders(
  { url, authenticator }: Line,
  signal: AbortSignal,
): Promise<Generation & { readonly headers: Headers }> {
  const { headers, generation } = await authenticator.credentials(signal);
  const all: Record<string, string | string[]> = {
    Host: new URL(url).host,
    Accept: "application/json",
    "User-Agent": "pilotboat",
  };
  for (const [name, value] of headers) {
    all[name] = all[name] === undefined ? value.revealText() : [all[name], value.revealText()].flat(); // groups: one each
  }
  return { headers: all, generation };
}
