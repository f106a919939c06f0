import type { IncomingHttpHeaders } from "node:http";
import { connect, type Socket } from "node:net";
import { connectThrough, type EgressProxy, isProxied } from "./egress-proxy.ts";
import { type ConnectOptions, httpStream, NoAnswerError } from "./http.ts";
import { lookupForSocket } from "./lookup-host.ts";

export interface TransportOptions extends Pick<ConnectOptions, "permits"> {
  /** The HTTP proxy for what is not on this machine. */
  readonly proxy?: EgressProxy | undefined;
  /** PEM: roots that are trusted beside the built-in ones. */
  readonly roots?: string | undefined;
  /** Whether the certificate of a server (`host` or `host:port`) may be anybody's. Default: of none. */
  readonly isUnverified?: ((host: string) => boolean) | undefined;
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
export function createTransport(options: TransportOptions): Transport {
  const { proxy, roots, permits, isUnverified = () => false, silenceMs = SILENCE_MS } = options;
  let trusted: Promise<readonly string[]> | undefined;
  return {
    async send(url, call, stop) {
      stop.throwIfAborted();
      const through = proxy !== undefined && isProxied(addressOf(url), proxy.except) ? proxy : undefined;
      const socket = through === undefined ? undefined : await reach(url, through, { silenceMs, stop });
      trusted ??= roots === undefined ? undefined : withUsualRoots(roots);
      const tls = { roots: await trusted, isUnverified: isUnverified(url.host) };
      const limits = { silenceMs, signal: stop, mostBytes: Number.POSITIVE_INFINITY };
      const words = { ...call, ...tls, ...limits, socket, permits };
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

/** Those of NODE_EXTRA_CA_CERTS among them, where the runtime says which they are: Node 22.15, Bun. TLS is loaded when it is needed. */
async function withUsualRoots(roots: string): Promise<readonly string[]> {
  const tls = (await import("node:tls")) as typeof import("node:tls") & {
    getCACertificates?: (type: "default") => readonly string[];
  };
  return [...(tls.getCACertificates?.("default") ?? tls.rootCertificates), roots];
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
