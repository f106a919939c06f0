import { connect as connectTcp, type Socket } from "node:net";
import {
  connectThrough,
  describeError,
  type EgressProxy,
  isProxied,
  lookupHost,
  splitHostPort,
} from "../base/index.ts";
import { type GrpcTls, secured } from "../grpc/index.ts";

export interface ConnectOptions {
  /** `host:port`. */
  readonly address: string;
  readonly tls: GrpcTls | "plaintext";
  readonly proxy?: EgressProxy | undefined;
}

/** The next address gets its chance when the one before has not answered by then. Source: RFC 8305 section 5. */
const NEXT_ADDRESS_MS = 250;

/** Of TCP, for a server that vanishes after it has said GOAWAY. */
const KEEPALIVE_MS = 30_000;

/**
 * A connection to a server of HTTP/2, over TLS or without. All addresses of its name are tried, the first that answers
 * wins. Rejects with the last failure, which names the proxy where that is at fault; when `signal` aborts, with what
 * kept it until then.
 */
export async function connectHttp2({ address, tls, proxy }: ConnectOptions, signal: AbortSignal): Promise<Socket> {
  const isThroughProxy = proxy !== undefined && isProxied(address, proxy.except);
  const secure = tls === "plaintext" ? undefined : prepared(tls);
  const near = hostAndPort(isThroughProxy ? proxy.address : address);
  const via = isThroughProxy ? `proxy "${proxy.address}": ` : "";
  const blamed = (error: unknown): never => {
    throw via === "" ? error : new Error(`${via}${describeError(error)}`, { cause: error });
  };
  const found = await answered(
    lookupHost(near.host, { signal }).catch(blamed),
    signal,
    () => `${via}lookup ${near.host}: the name server does not answer`,
  );
  let late = `${via}the address does not answer`;
  const reach = async (host: string, gone: AbortSignal): Promise<Socket> => {
    const socket = await dial(host, near.port, gone).catch(blamed);
    if (isThroughProxy) late = `proxy "${proxy.address}" does not answer CONNECT ${address}`;
    const leave = (): void => void socket.destroy();
    gone.addEventListener("abort", leave, { once: true });
    try {
      const far = isThroughProxy ? await connectThrough(socket, address, proxy) : socket;
      late = "the address does not answer";
      return secure === undefined ? far : await secure(far);
    } catch (error) {
      socket.destroy();
      throw error;
    } finally {
      gone.removeEventListener("abort", leave);
    }
  };
  return answered(
    firstOf(
      found.map((one) => one.address),
      reach,
      signal,
    ),
    signal,
    () => late,
  );
}

function prepared(tls: GrpcTls): ReturnType<typeof secured> {
  try {
    return secured(tls);
  } catch (error) {
    throw new Error(`cannot prepare TLS: ${describeError(error)}`);
  }
}

function hostAndPort(address: string): { readonly host: string; readonly port: number } {
  const split = splitHostPort(address);
  if (typeof split === "string") throw new Error(split);
  return { host: split.host, port: Number(split.port) };
}

/** Rejects with what `otherwise` says when the signal aborts first. */
function answered<T>(promise: Promise<T>, signal: AbortSignal, otherwise: () => string): Promise<T> {
  return new Promise((resolve, reject) => {
    const give = (): void => reject(new Error(otherwise()));
    if (signal.aborted) give();
    signal.addEventListener("abort", give, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", give));
  });
}

function dial(host: string, port: number, gone: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS });
    const leave = (): void => void socket.destroy();
    gone.addEventListener("abort", leave, { once: true });
    socket.once("connect", () => {
      gone.removeEventListener("abort", leave);
      resolve(socket);
    });
    socket.on("error", reject); // stays: a failure before anybody listens is no crash
    socket.once("close", () => reject(new Error("the connection was given up")));
  });
}

/** Tries all, each a moment after the one before, or at once when that has failed. The others are given up. */
function firstOf(
  hosts: readonly string[],
  reach: (host: string, gone: AbortSignal) => Promise<Socket>,
  signal: AbortSignal,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const tries = new Set<AbortController>();
    let [next, failed, isOver] = [0, 0, false];
    let timer: NodeJS.Timeout | undefined;
    const finish = (): void => {
      isOver = true;
      clearTimeout(timer);
      signal.removeEventListener("abort", finish);
      for (const one of tries) one.abort();
    };
    const tryNext = (): void => {
      clearTimeout(timer);
      const host = hosts[next++];
      if (host === undefined || isOver) return;
      timer = setTimeout(tryNext, NEXT_ADDRESS_MS);
      const one = new AbortController();
      tries.add(one);
      reach(host, one.signal).then(
        (socket) => {
          tries.delete(one);
          if (isOver) return void socket.destroy();
          finish();
          resolve(socket);
        },
        (error) => {
          failed++;
          if (failed < hosts.length) return tryNext();
          finish();
          reject(error);
        },
      );
    };
    signal.addEventListener("abort", finish, { once: true });
    tryNext();
  });
}
