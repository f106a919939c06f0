import { Agent, type ClientRequest, request } from "node:http";
import { type ClientHttp2Session, connect, constants } from "node:http2";

export const CLIENT_KINDS = ["keep-alive", "new connection", "HTTP/2"] as const;
/** How a client of HTTP/1.1 or HTTP/2 uses its connections. */
export type ClientKind = (typeof CLIENT_KINDS)[number];

/** Told of every request: when it was sent, and why it failed if it did. */
export type Note = (startedMs: number, failure: string | undefined) => void;

export interface LoadClient extends AsyncDisposable {
  /** One request, or a few at the same time. Resolves when all have ended; never rejects. */
  send(note: Note): Promise<void>;
  /** Whether the server has told this client to go away since the last time of asking. */
  takeTold(): boolean;
}

export interface Target {
  /** On 127.0.0.1, without TLS. */
  readonly port: number;
  /** The `Host` or `:authority` of the requests; undefined for the address. */
  readonly authority: string | undefined;
}

/** Connects with its first request. */
export function openClient(kind: ClientKind, target: Target): LoadClient {
  return CLIENTS_BY_KIND[kind](target);
}

/** No request takes longer: what hangs has failed. */
const ANSWER_LIMIT_MS = 5_000;
const LATE = `no answer within ${ANSWER_LIMIT_MS} ms`;

const CLIENTS_BY_KIND: Readonly<Record<ClientKind, (target: Target) => LoadClient>> = {
  "keep-alive": (target) => http1Client(target, new Agent({ keepAlive: true, maxSockets: 1 })),
  "new connection": (target) => http1Client(target, undefined),
  "HTTP/2": http2Client,
};

function http1Client({ port, authority }: Target, agent: Agent | undefined): LoadClient {
  let isTold = false;
  const headers = authority === undefined ? {} : { host: authority };
  const once = (): Promise<string | undefined> =>
    new Promise((resolve) => {
      const call: ClientRequest = request({ host: "127.0.0.1", port, agent: agent ?? false, headers }, (response) => {
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
function http2Client({ port, authority }: Target): LoadClient {
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
      const requests = Array.from({ length: HTTP2_REQUESTS_AT_ONCE }, () => requestOn(session, authority));
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
function requestOn(session: ClientHttp2Session, authority: string | undefined): Promise<string | undefined> {
  return new Promise((resolve) => {
    const stream = session.request({ ":path": "/", ...(authority !== undefined && { ":authority": authority }) });
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

function reasonOf(error: Error): string {
  if (error.cause instanceof Error) return reasonOf(error.cause); // of a stream whose connection failed
  const { code } = error as NodeJS.ErrnoException;
  if (code === undefined) return error.message;
  return code === "ECONNRESET" ? `${code} (${error.message})` : code;
}
