import { type ClientRequest, type IncomingHttpHeaders, type IncomingMessage, request as requestHttp } from "node:http";
import { type RequestOptions, request as requestHttps } from "node:https";
import { connect, type Socket } from "node:net";
import * as tlsModule from "node:tls";
import {
  connectThrough,
  type EgressProxy,
  isProxied,
  lookupForSocket,
  responseTo,
  VERIFIED_TLS,
} from "../base/index.ts";

export interface TransportOptions {
  /** The HTTP proxy for what is not on this machine. */
  readonly proxy?: EgressProxy | undefined;
  /** PEM: roots that are trusted beside the built-in ones. */
  readonly roots?: string | undefined;
  /** No connection may be silent for longer. Default 30 s. */
  readonly silenceMs?: number;
}

export interface Call {
  /** Default GET. */
  readonly method?: "GET" | "POST";
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** Sends HTTP requests, each on a connection of its own. */
export interface Transport {
  /** Resolves with any answer. Rejects with an Error when there is none, or with one of `stop`. */
  send(url: URL, call: Call, stop: AbortSignal): Promise<Answer>;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Ends with an error when the connection is lost, silent, or `stop` aborts. To be read once, or dropped. */
  readonly body: AsyncIterable<Buffer>;
  /** Ends the connection; for a body that nobody wants. */
  drop(): void;
}

const SILENCE_MS = 30_000;

/** HTTP by `node:http`, with this project's look-up of names, its proxies and its roots. */
export function createTransport({ proxy, roots, silenceMs = SILENCE_MS }: TransportOptions): Transport {
  const ca = roots === undefined ? undefined : [...usualRoots(), roots];
  const tls = { ...VERIFIED_TLS, ...(ca === undefined ? {} : { ca }) };
  return {
    async send(url, { method = "GET", headers, body }, stop) {
      stop.throwIfAborted();
      const host = url.host; // named here, because a tunnel makes Node add the wrong port to it
      const words: RequestOptions = { method, headers: { ...headers, host }, signal: stop };
      const isEncrypted = url.protocol === "https:";
      const through = proxy !== undefined && isProxied(addressOf(url), proxy.except) ? proxy : undefined;
      if (through === undefined) Object.assign(words, { agent: false, lookup: lookupForSocket, ...tls });
      else {
        const socket = await reach(url, through, { silenceMs, stop });
        words.createConnection = () => (isEncrypted ? encrypt(socket, url, tls) : socket);
      }
      const call = (isEncrypted ? requestHttps : requestHttp)(url, words);
      return answerTo(call, url, body, silenceMs);
    },
  };
}

/** Those of NODE_EXTRA_CA_CERTS among them, where the runtime says which they are: Node 22.15, Bun. */
function usualRoots(): readonly string[] {
  const { getCACertificates } = tlsModule as { getCACertificates?: (type: "default") => readonly string[] };
  return getCACertificates?.("default") ?? tlsModule.rootCertificates;
}

/** `host:port`, an IPv6 address in brackets. */
function addressOf(url: URL): string {
  return `${url.hostname}:${url.port || (url.protocol === "https:" ? "443" : "80")}`;
}

/** A connection to the host by way of the proxy. */
async function reach(
  url: URL,
  proxy: EgressProxy,
  { silenceMs, stop }: { readonly silenceMs: number; readonly stop: AbortSignal },
): Promise<Socket> {
  const at = new URL(`http://${proxy.address}`);
  const [host, port] = [at.hostname.replace(/^\[(.*)\]$/, "$1"), Number(at.port || 80)];
  const socket = connect({ host, port, lookup: lookupForSocket, signal: stop });
  await new Promise<void>((resolve, reject) => {
    const slow = (): void => void socket.destroy(new Error(`no connection to it within ${silenceMs}ms`));
    const limit = setTimeout(slow, silenceMs);
    socket.once("connect", resolve).once("error", reject);
    socket.once("connect", () => clearTimeout(limit)).once("close", () => clearTimeout(limit));
  }).catch((cause: unknown) => {
    throw new Error(`Cannot reach the proxy "${proxy.address}" of HTTPS_PROXY`, { cause });
  });
  return connectThrough(socket, addressOf(url), proxy);
}

function encrypt(socket: Socket, url: URL, tls: object): tlsModule.TLSSocket {
  const name = url.hostname.replace(/^\[(.*)\]$/, "$1");
  return tlsModule.connect({ socket, host: name, ...(isAddress(name) ? {} : { servername: name }), ...tls });
}

const isAddress = (name: string): boolean => /^[\d.]+$/.test(name) || name.includes(":");

/** Ends what it watches when that is silent for too long. */
class SilenceLimit {
  readonly #limitMs: number;
  readonly #onSilence: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(limitMs: number, onSilence: () => void) {
    this.#limitMs = limitMs;
    this.#onSilence = onSilence;
  }

  start(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#onSilence, this.#limitMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

async function answerTo(call: ClientRequest, url: URL, body: string | undefined, silenceMs: number): Promise<Answer> {
  let end = (reason: Error): void => void call.destroy(reason);
  const limit = new SilenceLimit(silenceMs, () => end(new Error(`"${url.host}" was silent for ${silenceMs}ms`)));
  limit.start();
  try {
    const response = await responseTo(call, body);
    end = (reason) => void response.destroy(reason);
    return {
      status: response.statusCode ?? 0,
      headers: response.headers,
      body: pieces(response, limit),
      drop: () => void response.on("error", () => undefined).destroy(),
    };
  } finally {
    limit.stop();
  }
}

/** The time that the reader takes does not count. */
async function* pieces(response: IncomingMessage, limit: SilenceLimit): AsyncGenerator<Buffer, void, void> {
  limit.start();
  try {
    for await (const piece of response) {
      limit.stop();
      yield piece as Buffer;
      limit.start();
    }
  } finally {
    limit.stop();
  }
}
