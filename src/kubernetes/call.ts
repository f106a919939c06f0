import { Agent, type ClientRequest, type IncomingMessage, request } from "node:http";
import type { Duplex } from "node:stream";
import { readBody, responseTo, systemClock } from "../base/index.ts";
import type { Authenticator } from "./authenticator.ts";
import type { Dial } from "./dial.ts";

/** What is needed to speak to one API server. */
export interface Line {
  /** `https://host:port/prefix`. */
  readonly url: string;
  readonly authenticator: Authenticator;
  readonly dial: Dial;
  /** Of one request. */
  readonly limitMs: number;
}

export interface HttpCall {
  readonly method: "GET" | "POST";
  /** With the query. */
  readonly path: string;
  readonly body?: unknown;
  readonly signal: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

/** An API server that is busy is asked again, three times in all. */
const ATTEMPTS = 3;
const BUSY = [429, 502, 503, 504];
const PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5_000;

/** Connections that are kept for the next request; closing ends them. */
export class HttpClient {
  readonly #line: Line;
  #agent: Agent;

  constructor(line: Line) {
    this.#line = line;
    this.#agent = dialingAgent(line.dial);
  }

  close(): void {
    this.#agent.destroy();
  }

  /**
   * Asks until there is an answer that is worth telling: once more with new credentials after a 401, and again when the
   * server says that it is busy, or has cut a connection before it answered. Rejects with the failure of the last attempt.
   */
  async send(call: HttpCall): Promise<HttpAnswer> {
    let wasRenewed = false;
    let headers = await requestHeaders(this.#line, call.signal); // a plugin may ask somebody to log in: that takes longer
    const untilMs = Date.now() + this.#line.limitMs;
    for (let attempt = 1; ; attempt++) {
      const cut = AbortSignal.any([call.signal, AbortSignal.timeout(Math.max(untilMs - Date.now(), 1))]);
      const answer = await this.#attempt({ ...call, headers }, cut).catch((error: unknown) =>
        this.#afterFailure(error, call, cut, attempt),
      );
      if (answer === undefined) continue;
      if (answer.status === 401 && !wasRenewed && this.#line.authenticator.renew()) {
        wasRenewed = true;
        this.#agent.destroy(); // a client certificate belongs to the connection
        this.#agent = dialingAgent(this.#line.dial);
        headers = await requestHeaders(this.#line, call.signal);
        continue;
      }
      const pauseMs = Math.min(answer.retryAfterMs ?? PAUSE_MS * attempt, LONGEST_PAUSE_MS);
      if (!BUSY.includes(answer.status) || attempt >= ATTEMPTS || Date.now() + pauseMs >= untilMs) return answer;
      await systemClock.sleep(pauseMs, call.signal);
    }
  }

  /** Undefined when it may be tried again: a kept connection may be one that the server has closed. */
  #afterFailure(error: unknown, call: HttpCall, cut: AbortSignal, attempt: number): undefined {
    if (call.signal.aborted) throw call.signal.reason;
    if (cut.aborted) throw new Error(`no answer within ${this.#line.limitMs / 1_000} s`, { cause: error });
    const isCut = error instanceof Error && "code" in error && CUT.includes(String(error.code));
    if (!isCut || attempt >= ATTEMPTS) throw error;
    return undefined;
  }

  async #attempt({ method, path, body, headers }: HttpCall & { readonly headers: Headers }, cut: AbortSignal) {
    const all = body === undefined ? headers : { ...headers, "Content-Type": "application/json" };
    const place = placeOf(this.#line.url, path);
    const asked = request({ ...place, method, headers: all, agent: this.#agent, signal: cut });
    const response = await responseTo(asked, body === undefined ? undefined : JSON.stringify(body));
    const text = (await readBody(response)).toString("utf8");
    if (!response.complete) throw Object.assign(new Error("the answer was cut off"), { code: "ECONNRESET" });
    const seconds = Number(response.headers["retry-after"] ?? Number.NaN);
    return { status: response.statusCode ?? 0, body: text, retryAfterMs: seconds >= 0 ? seconds * 1_000 : undefined };
  }
}

const CUT = ["ECONNRESET", "EPIPE"];

export type Upgraded =
  | { readonly socket: Duplex; readonly head: Buffer; readonly response: IncomingMessage }
  /** The server answered something else than 101. */
  | (HttpAnswer & { readonly socket?: undefined });

/** Asks for another protocol on a connection of its own, once. */
export async function upgrade(
  line: Line,
  { method, path, signal }: Omit<HttpCall, "body">,
  headers: Readonly<Record<string, string>>,
): Promise<Upgraded> {
  const all = { ...(await requestHeaders(line, signal)), Connection: "Upgrade", ...headers };
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(new Error(`no answer within ${line.limitMs / 1_000} s`)), line.limitMs);
  const cut = AbortSignal.any([signal, limit.signal]);
  try {
    const socket = await line.dial(cut);
    const end = (): void => void socket.destroy(cut.reason);
    cut.addEventListener("abort", end);
    try {
      const asked = request({ ...placeOf(line.url, path), method, headers: all, createConnection: () => socket });
      asked.end();
      return await upgradedOr(asked);
    } finally {
      cut.removeEventListener("abort", end);
    }
  } catch (error) {
    throw cut.aborted ? cut.reason : error;
  } finally {
    clearTimeout(timer);
  }
}

function upgradedOr(asked: ClientRequest): Promise<Upgraded> {
  return new Promise((resolve, reject) => {
    asked.once("upgrade", (response, socket, head) => resolve({ socket, head, response }));
    asked.once("error", reject);
    asked.once("response", (response: IncomingMessage) => {
      readBody(response)
        .then((bytes) => resolve({ status: response.statusCode ?? 0, body: bytes.toString("utf8") }))
        .catch(reject)
        .finally(() => asked.destroy());
    });
  });
}

function placeOf(base: string, path: string) {
  const url = new URL(base);
  return { host: url.hostname, port: url.port, path: `${url.pathname.replace(/\/$/, "")}${path}`, setHost: false };
}

type Headers = Readonly<Record<string, string | string[]>>;

async function requestHeaders({ url, authenticator }: Line, signal: AbortSignal): Promise<Headers> {
  const { headers } = await authenticator.credentials(signal);
  const all: Record<string, string | string[]> = {
    Host: new URL(url).host,
    Accept: "application/json",
    "User-Agent": "pilotboat",
  };
  for (const [name, value] of headers) {
    const before = all[name];
    all[name] = before === undefined ? value.revealText() : [before, value.revealText()].flat();
  }
  return all;
}

function dialingAgent(dial: Dial): Agent {
  const agent = new Agent({ keepAlive: true });
  const ending = new AbortController();
  const { destroy } = agent;
  return Object.assign(agent, {
    createConnection: (_options: unknown, done: (error: Error | null, socket?: Duplex) => void): void => {
      dial(ending.signal).then(
        (socket) => done(null, socket),
        (error: Error) => done(error),
      );
    },
    destroy() {
      ending.abort(new Error("the client was closed"));
      destroy.call(agent);
    },
  });
}
