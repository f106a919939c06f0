import type { IncomingHttpHeaders } from "node:http";
import { connect, type Socket } from "node:net";
import * as tlsModule from "node:tls";
import {
  connectThrough,
  type EgressProxy,
  httpStream,
  isProxied,
  lookupForSocket,
  NoAnswerError,
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
  /** Ends the connection; for a body that is not needed. */
  drop(): void;
}

const SILENCE_MS = 30_000;

/** HTTP with this project's client, its proxies and its roots. */
export function createTransport({ proxy, roots, silenceMs = SILENCE_MS }: TransportOptions): Transport {
  const trusted = roots === undefined ? undefined : [...usualRoots(), roots];
  return {
    async send(url, call, stop) {
      stop.throwIfAborted();
      const through = proxy !== undefined && isProxied(addressOf(url), proxy.except) ? proxy : undefined;
      const socket = through === undefined ? undefined : await reach(url, through, { silenceMs, stop });
      const words = { ...call, socket, roots: trusted, silenceMs, signal: stop, mostBytes: Number.POSITIVE_INFINITY };
      const silent = (error: unknown): unknown =>
        error instanceof NoAnswerError ? new Error(`"${url.host}" sent nothing for ${silenceMs}ms`) : error;
      const response = await httpStream(url, words).catch((error: unknown) => {
        throw silent(error);
      });
      const { status, headers, body } = response;
      return { status, headers, body: failingAs(silent, body), drop: () => response[Symbol.dispose]() };
    },
  };
}

async function* failingAs(told: (error: unknown) => unknown, body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* body;
  } catch (error) {
    throw told(error);
  }
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
