import { setMaxListeners } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { CLIENT_KINDS, type ClientKind, openClient } from "./load-clients.ts";

export interface LoadOptions {
  /** On 127.0.0.1, without TLS. */
  readonly port: number;
  /** The `Host` or `:authority` of the requests. Default: the address. */
  readonly authority?: string;
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

export function startLoad(options: LoadOptions): Load {
  const { port, authority, clients = {}, pauseMs = PAUSE_MS, whenTold = "come back" } = options;
  const stop = new AbortController();
  setMaxListeners(0, stop.signal); // one per client, by intention
  const counts = new Counts();
  const run = async (kind: ClientKind): Promise<void> => {
    await using client = openClient(kind, { port, authority });
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
