import { setMaxListeners } from "node:events";
import { Agent, type ClientRequest, request } from "node:http";
import { type ClientHttp2Session, connect, constants } from "node:http2";
import { setTimeout as delay } from "node:timers/promises";

export const CLIENT_KINDS = ["keep-alive", "new connection", "HTTP/2"] as const;
/** How a client of HTTP/1.1 or HTTP/2 uses its connections. */
export type ClientKind = (typeof CLIENT_KINDS)[number];

export interface LoadOptions {
  /** On 127.0.0.1, without TLS. */
  readonly port: number;
  /** Clients of each kind. Default 4, 4 and 2; each sends about 60 requests a second, those of HTTP/2 three times that. */
  readonly clients?: Partial<Record<ClientKind, number>>;
  /** Wait of a client between an answer and its next request. Default 15 ms. */
  readonly pauseMs?: number;
  /**
   * What a client does that was told to go away, by `connection: close` or GOAWAY: come back on a new connection (the
   * default), or leave for good, as one does that has somewhere else to go; such a one leaves after a failure, too.
   */
  readonly whenTold?: "come back" | "leave";
}

/** A request that did not get its 200. Nothing is tried a second time. */
export interface LoadFailure {
  readonly kind: ClientKind;
  /** On the clock of `performance.now()`. */
  readonly startedMs: number;
  readonly endedMs: number;
  /** `ECONNREFUSED`, `status 503`, `no answer within 5000 ms` and so on. */
  readonly reason: string;
}

export interface LoadTally {
  readonly answered: Readonly<Record<ClientKind, number>>;
  /** How often clients were told to go away. A client with new connections is never told: it goes anyway. */
  readonly told: Readonly<Record<ClientKind, number>>;
  readonly failures: readonly LoadFailure[];
}

/** Clients that send all the time. Disposing it stops them. */
export interface Load extends AsyncDisposable {
  tally(): LoadTally;
  /** Resolves when so many more requests were answered. */
  moreAnswers(count: number): Promise<void>;
  /** When the first answer came whose request was sent after `sinceMs`, on the clock of `performance.now()`. */
  answerAfter(sinceMs: number): Promise<number>;
  /** Resolves with the first failure. */
  firstFailure(): Promise<LoadFailure>;
  /** Resolves when every client has left; rejects when they were stopped before. */
  left(): Promise<void>;
  /** Sends nothing more and resolves when everything sent is answered or has failed. */
  finish(): Promise<LoadTally>;
}

const CLIENTS: Readonly<Record<ClientKind, number>> = { "keep-alive": 4, "new connection": 4, "HTTP/2": 2 };
const PAUSE_MS = 15;
/** No request takes longer: what hangs has failed. */
const ANSWER_LIMIT_MS = 5_000;

export function startLoad(options: LoadOptions): Load {
  const { port, clients = {}, pauseMs = PAUSE_MS, whenTold = "come back" } = options;
  const stop = new AbortController();
  setMaxListeners(0, stop.signal); // one per client, by intention
  const counts = new Counts();
  const run = async (kind: ClientKind): Promise<void> => {
    await using client = CLIENTS_BY_KIND[kind](port);
    while (!stop.signal.aborted) {
      let isLost = false;
      await client.send((startedMs, failure) => {
        counts.add(kind, startedMs, failure);
        isLost ||= failure !== undefined;
      });
      await delay(pauseMs, undefined, { signal: stop.signal }).catch(() => undefined); // stopping ends the pause
      const isTold = client.takeTold();
      if (isTold) counts.addTold(kind);
      if (whenTold === "leave" && (isTold || isLost)) return;
    }
  };
  const running = Promise.all(
    CLIENT_KINDS.flatMap((kind) => Array.from({ length: clients[kind] ?? CLIENTS[kind] }, () => run(kind))),
  );
  const finish = async (): Promise<LoadTally> => {
    stop.abort();
    await running;
    return counts.tally();
  };
  return {
    tally: () => counts.tally(),
    moreAnswers: (count) => counts.moreAnswers(count),
    answerAfter: (sinceMs) => counts.answerAfter(sinceMs),
    firstFailure: () => counts.firstFailure(),
    async left() {
      await running;
      if (stop.signal.aborted) throw new Error("The load was stopped before all clients had left");
    },
    finish,
    async [Symbol.asyncDispose]() {
      await finish();
    },
  };
}

/** One line for the report of a test. */
export function describeLoad({ answered, told, failures }: LoadTally): string {
  const kinds = CLIENT_KINDS.map(
    (kind) => `${kind} ${answered[kind]}${told[kind] > 0 ? ` (told ${told[kind]} times)` : ""}`,
  );
  const reasons = new Map<string, number>();
  for (const { kind, reason } of failures) {
    const key = `${kind}: ${reason}`;
    reasons.set(key, (reasons.get(key) ?? 0) + 1);
  }
  const failed = [...reasons].map(([reason, count]) => `${count} x ${reason}`).join(", ");
  return `answered: ${kinds.join(", ")}; failed: ${failures.length}${failed === "" ? "" : ` (${failed})`}`;
}

class Counts {
  readonly #answered = { "keep-alive": 0, "new connection": 0, "HTTP/2": 0 };
  readonly #told = { "keep-alive": 0, "new connection": 0, "HTTP/2": 0 };
  readonly #failures: LoadFailure[] = [];
  readonly #listeners = new Set<(startedMs: number, isAnswer: boolean) => void>();
  #total = 0;

  add(kind: ClientKind, startedMs: number, failure: string | undefined): void {
    if (failure === undefined) {
      this.#answered[kind]++;
      this.#total++;
    } else this.#failures.push({ kind, startedMs, endedMs: performance.now(), reason: failure });
    for (const listener of [...this.#listeners]) listener(startedMs, failure === undefined);
  }

  addTold(kind: ClientKind): void {
    this.#told[kind]++;
  }

  tally(): LoadTally {
    return { answered: { ...this.#answered }, told: { ...this.#told }, failures: [...this.#failures] };
  }

  moreAnswers(count: number): Promise<void> {
    const wanted = this.#total + count;
    return this.#until(() => (this.#total >= wanted ? true : undefined)).then(() => undefined);
  }

  answerAfter(sinceMs: number): Promise<number> {
    return this.#until((startedMs, isAnswer) => (isAnswer && startedMs > sinceMs ? performance.now() : undefined));
  }

  firstFailure(): Promise<LoadFailure> {
    const known = this.#failures[0];
    return known === undefined ? this.#until(() => this.#failures[0]) : Promise.resolve(known);
  }

  /** Asks after each request until there is a value. */
  #until<T>(look: (startedMs: number, isAnswer: boolean) => T | undefined): Promise<T> {
    return new Promise((resolve) => {
      const listener = (startedMs: number, isAnswer: boolean): void => {
        const value = look(startedMs, isAnswer);
        if (value === undefined) return;
        this.#listeners.delete(listener);
        resolve(value);
      };
      this.#listeners.add(listener);
    });
  }
}

/** Told of every request: when it was sent, and why it failed if it did. */
type Note = (startedMs: number, failure: string | undefined) => void;

interface LoadClient extends AsyncDisposable {
  /** One request, or a few at the same time. Resolves when all have ended; never rejects. */
  send(note: Note): Promise<void>;
  /** Whether the server has told this client to go away since the last time of asking. */
  takeTold(): boolean;
}

const CLIENTS_BY_KIND: Readonly<Record<ClientKind, (port: number) => LoadClient>> = {
  "keep-alive": (port) => http1Client(port, new Agent({ keepAlive: true, maxSockets: 1 })),
  "new connection": (port) => http1Client(port, undefined),
  "HTTP/2": http2Client,
};

function http1Client(port: number, agent: Agent | undefined): LoadClient {
  let isTold = false;
  const once = (): Promise<string | undefined> =>
    new Promise((resolve) => {
      const call: ClientRequest = request({ host: "127.0.0.1", port, agent: agent ?? false }, (response) => {
        if (agent !== undefined && response.headers.connection === "close") isTold = true;
        response.resume();
        response.once("error", (error) => end(reasonOf(error)));
        response.once("end", () => end(response.statusCode === 200 ? undefined : `status ${response.statusCode}`));
      });
      const limit = setTimeout(() => call.destroy(new Error(LATE)), ANSWER_LIMIT_MS);
      const end = (failure: string | undefined): void => {
        clearTimeout(limit);
        resolve(failure);
      };
      call.once("error", (error) => end(reasonOf(error)));
      call.end();
    });
  return {
    async send(note) {
      const startedMs = performance.now();
      note(startedMs, await once());
    },
    takeTold() {
      const was = isTold;
      isTold = false;
      return was;
    },
    async [Symbol.asyncDispose]() {
      agent?.destroy();
    },
  };
}

const HTTP2_REQUESTS_AT_ONCE = 3;

/** One connection at a time; after GOAWAY it is left to finish, and the next request opens another. */
function http2Client(port: number): LoadClient {
  let isTold = false;
  let current: ClientHttp2Session | undefined;
  const usable = (): ClientHttp2Session => {
    if (current !== undefined && !current.closed && !current.destroyed) return current;
    current = connect(`http://127.0.0.1:${port}`);
    current.once("goaway", () => {
      isTold = true;
    });
    current.on("error", () => undefined); // its requests end with it and tell why
    return current;
  };
  return {
    async send(note) {
      const session = usable();
      const startedMs = performance.now();
      const requests = Array.from({ length: HTTP2_REQUESTS_AT_ONCE }, () => requestOn(session));
      await Promise.all(requests.map(async (ended) => note(startedMs, await ended)));
    },
    takeTold() {
      const was = isTold;
      isTold = false;
      return was;
    },
    async [Symbol.asyncDispose]() {
      current?.destroy();
    },
  };
}

/** Why the request failed; undefined when it did not. */
function requestOn(session: ClientHttp2Session): Promise<string | undefined> {
  return new Promise((resolve) => {
    const stream = session.request({ ":path": "/" });
    let failure: string | undefined = "closed before the whole answer";
    let status: number | undefined;
    const limit = setTimeout(() => stream.destroy(new Error(LATE)), ANSWER_LIMIT_MS);
    stream.once("response", (headers) => {
      status = headers[":status"];
    });
    stream.once("end", () => {
      if (status === undefined) failure = "closed before the response";
      else failure = status === 200 ? undefined : `status ${status}`;
    });
    stream.once("error", (error) => {
      failure = reasonOf(error);
    });
    stream.once("close", () => {
      clearTimeout(limit);
      const isReset = stream.rstCode !== undefined && stream.rstCode !== constants.NGHTTP2_NO_ERROR;
      resolve(failure === undefined && isReset ? `reset with code ${stream.rstCode}` : failure);
    });
    stream.resume();
    stream.end();
  });
}

const LATE = `no answer within ${ANSWER_LIMIT_MS} ms`;

function reasonOf(error: Error): string {
  if (error.cause instanceof Error) return reasonOf(error.cause); // of a stream whose connection failed
  const { code } = error as NodeJS.ErrnoException;
  if (code === undefined) return error.message;
  return code === "ECONNRESET" ? `${code} (${error.message})` : code;
}
