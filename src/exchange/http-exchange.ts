import { Agent, type ClientRequest, type IncomingMessage, type RequestOptions, request } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { isIP, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { systemCode } from "../base/index.ts";
import type { Destination } from "./destination.ts";
import { dial } from "./dial.ts";

/** By lower-case name; several values are several headers. */
export type HeaderLists = Readonly<Record<string, readonly string[]>>;

export interface HttpAnswer {
  readonly status: number;
  readonly location: string | undefined;
  /** Its first 10 KiB. */
  readonly body: Buffer;
}

/** Source: istio/istio pilot/cmd/pilot-agent/status/server.go (`maxRespBodyLength`). */
const MOST_BYTES = 10 * 1_024;

const NO_ANSWER = "the connection was closed without an answer";

export interface Exchanges {
  /** One GET. Rejects with what failed on the way, or the reason of `signal`. */
  get(url: URL, headers: HeaderLists, signal: AbortSignal): Promise<HttpAnswer>;
}

export interface ExchangeOptions {
  readonly destination: Destination;
  /** Whether TLS offers `h2` as well. */
  readonly offersHttp2: boolean;
  readonly keepsAlive: boolean;
  /** False: the answer ends with its headers. Default: true. */
  readonly wantsBody?: boolean;
}

/** Exchanges with one host. Certificates are not verified: the kubelet does not verify them either. */
export function createExchanges(options: ExchangeOptions): Exchanges {
  const { wantsBody = true } = options;
  const agents = options.keepsAlive
    ? { plain: keepingAgent(options, false), secure: keepingAgent(options, true) }
    : undefined;
  /** Ports that chose HTTP/1.1 where HTTP/2 was offered: connections of the latter are not kept. */
  const withoutHttp2 = new Set<number>();
  return {
    async get(url, headers, signal) {
      const isSecure = url.protocol === "https:";
      const port = Number(url.port || (isSecure ? 443 : 80));
      const place = { port, isSecure, offersHttp2: options.offersHttp2 };
      const words = { port: place.port, path: url.pathname + url.search, headers: headersOf(headers) };
      if (agents !== undefined && !isSecure) return getKept({ ...words, agent: agents.plain }, signal);
      if (agents !== undefined && (!options.offersHttp2 || withoutHttp2.delete(port))) {
        const answer = await getKept({ ...words, agent: agents.secure }, signal);
        withoutHttp2.add(port); // until it fails: another server may be there then
        return answer;
      }
      const socket = await connectTo(options, place, signal);
      try {
        if ("alpnProtocol" in socket && socket.alpnProtocol === "h2")
          return await getHttp2(socket, url, headers, signal);
        if (isSecure) withoutHttp2.add(port);
        const closing = { ...words.headers, connection: "close" };
        const call = request({ ...words, headers: closing, createConnection: () => socket });
        return await readAnswer(call, signal, wantsBody);
      } finally {
        socket.destroy();
      }
    },
  };
}

interface Place {
  readonly port: number;
  readonly isSecure: boolean;
  readonly offersHttp2: boolean;
}

/** A new connection to the application, from the address that bypasses Envoy, with TLS or without. */
async function connectTo(
  { destination }: ExchangeOptions,
  { port, isSecure, offersHttp2 }: Place,
  signal: AbortSignal,
) {
  const plain = await dial(destination, port, signal);
  if (!isSecure) return plain;
  try {
    return await secured(plain, destination.host, offersHttp2, signal);
  } catch (error) {
    plain.destroy();
    throw error;
  }
}

/** Its connections are made by `connectTo`, and kept. */
function keepingAgent(options: ExchangeOptions, isSecure: boolean): Agent {
  const agent = new Agent({ keepAlive: true });
  agent.createConnection = ({ port, signal }, done) => {
    connectTo(
      options,
      { port: Number(port), isSecure, offersHttp2: false },
      signal ?? new AbortController().signal,
    ).then(
      (socket) => done?.(null, socket),
      (error: Error) => done?.(error, undefined as never),
    );
    return undefined;
  };
  return agent;
}

/**
 * Over a kept connection, as Go's client does it: the application may have closed it meanwhile, and says so only when it
 * is used again. Then the next one is tried, and a new one last.
 */
async function getKept(words: RequestOptions, signal: AbortSignal): Promise<HttpAnswer> {
  for (;;) {
    const call = request({ ...words, signal });
    try {
      return await readAnswer(call, signal);
    } catch (error) {
      if (!call.reusedSocket || signal.aborted || !isClosed(error)) throw error;
    }
  }
}

function isClosed(error: unknown): boolean {
  return (
    ["ECONNRESET", "EPIPE"].includes(systemCode(error) ?? "") || (error instanceof Error && error.message === NO_ANSWER)
  );
}

function headersOf(lists: HeaderLists): Record<string, string | string[]> {
  return Object.fromEntries(
    Object.entries(lists).map(([name, values]) => [name, values.length === 1 ? String(values[0]) : [...values]]),
  );
}

function secured(socket: Socket, host: string, offersHttp2: boolean, signal: AbortSignal): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const secure = connectTls({
      socket,
      rejectUnauthorized: false,
      ALPNProtocols: offersHttp2 ? ["h2", "http/1.1"] : ["http/1.1"],
      ...(isIP(host) === 0 ? { servername: host } : {}),
    });
    const fail = (error: unknown): void => {
      secure.destroy();
      reject(error);
    };
    signal.addEventListener("abort", () => fail(signal.reason), { once: true });
    secure.once("error", fail).once("secureConnect", () => resolve(secure));
    secure.once("close", () => reject(new Error("the connection was closed during the TLS handshake")));
  });
}

function readAnswer(call: ClientRequest, signal: AbortSignal, wantsBody = true): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      reject(error);
      call.destroy();
    };
    const late = (): void => fail(signal.reason);
    signal.addEventListener("abort", late, { once: true });
    call.on("error", fail);
    let hasBegun = false;
    call.once("close", () => hasBegun || fail(new Error(NO_ANSWER)));
    call.on("response", (response: IncomingMessage) => {
      hasBegun = true;
      const { statusCode: status = 0 } = response;
      const { location } = response.headers;
      const whole = wantsBody ? collect(response) : Promise.resolve(Buffer.alloc(0));
      whole.then((body) => {
        signal.removeEventListener("abort", late);
        resolve({ status, location, body });
      }, fail);
    });
    call.end();
  });
}

async function collect(pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  const kept: Buffer[] = [];
  let bytes = 0;
  for await (const piece of pieces) {
    kept.push(piece);
    bytes += piece.length;
    if (bytes >= MOST_BYTES) break; // the rest is not wanted; it ends the connection
  }
  return Buffer.concat(kept).subarray(0, MOST_BYTES);
}

async function getHttp2(socket: Socket, url: URL, headers: HeaderLists, signal: AbortSignal): Promise<HttpAnswer> {
  const session = connectHttp2(url.origin, { createConnection: () => socket });
  try {
    const { host, connection, ...others } = headers;
    const call = session.request({
      ...headersOf(others),
      ":method": "GET",
      ":path": url.pathname + url.search,
      ":authority": host?.[0] ?? url.host,
    });
    const failed = new Promise<never>((_, reject) => {
      if (signal.aborted) reject(signal.reason);
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      session.on("error", reject);
      call.on("error", reject);
    });
    const answered = new Promise<HttpAnswer>((resolve, reject) => {
      let hasBegun = false;
      call.on("close", () => hasBegun || reject(new Error(NO_ANSWER)));
      call.on("response", ({ ":status": status = 0, location }) => {
        hasBegun = true;
        collect(call).then(
          (body) => resolve({ status: Number(status), location: location as string | undefined, body }),
          reject,
        );
      });
    });
    call.end();
    return await Promise.race([answered, failed]);
  } finally {
    session.destroy();
  }
}
