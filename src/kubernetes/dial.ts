import { connect, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { AgentError, connectThrough, joinHostPort, lookupForSocket, startLimit, VERIFIED_TLS } from "../base/index.ts";

import { type Authenticator, readSource } from "./authenticator.ts";
import { chooseProxy, type KubeProxy } from "./choose-proxy.ts";
import type { KubeHost, KubeServer } from "./kubeconfig.ts";
import { connectThroughSocks } from "./socks.ts";

/** Opens connections to one API server. */
export type Dial = (signal: AbortSignal) => Promise<Socket>;

/** From the first packet to the end of the TLS handshake, proxies included. */
const LIMIT_MS = 10_000;

/**
 * A connection to the API server over which HTTP/1.1 can be spoken: through a proxy when there is one, over TLS with the
 * caller's client certificate, verified unless the kubeconfig says otherwise. Rejects with an Error of the system's or
 * TLS's own, `no connection within 10 s`, or what `authenticator` rejects with.
 */
export function createDial(server: KubeServer, authenticator: Authenticator, { env }: KubeHost): Dial {
  const url = new URL(server.url);
  const isTls = url.protocol === "https:";
  const target = { host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port || (isTls ? 443 : 80)) };
  return async (signal) => {
    const { certificate } = await authenticator.credentials(signal);
    const ca = server.ca === undefined ? undefined : await readSource(server.ca);
    using limit = startLimit(signal, LIMIT_MS, () => new Error(`no connection within ${LIMIT_MS / 1_000} s`));
    const { signal: cut } = limit;
    const proxy = chooseProxy(server, env);
    const socket = proxy === undefined ? await open(target, cut) : await openThrough(proxy, target, cut);
    if (!isTls) return socket;
    const identity = certificate === undefined ? {} : { cert: certificate.chain, key: certificate.key.reveal() };
    const trust = server.isInsecure ? { rejectUnauthorized: false } : { ...VERIFIED_TLS, ...(ca && { ca }) };
    return await secure(socket, { name: server.serverName ?? target.host, options: { ...identity, ...trust } }, cut);
  };
}

interface Target {
  readonly host: string;
  readonly port: number;
}

function open({ host, port }: Target, cut: AbortSignal): Promise<Socket> {
  return settled(
    connect({ host, port, lookup: lookupForSocket, autoSelectFamily: true, noDelay: true }),
    "connect",
    cut,
  );
}

async function openThrough(proxy: KubeProxy, { host, port }: Target, cut: AbortSignal): Promise<Socket> {
  const plain = await open(proxy, cut);
  const end = (): void => void plain.destroy();
  cut.addEventListener("abort", end);
  try {
    const socket = proxy.isTls ? await secure(plain, { name: proxy.host, options: VERIFIED_TLS }, cut) : plain;
    const address = joinHostPort(host, port);
    const way = { address: `${proxy.host}:${proxy.port}`, credentials: proxy.credentials, except: [] };
    const tunnel = proxy.isSocks
      ? connectThroughSocks(socket, { host, port }, proxy)
      : connectThrough(socket, address, way);
    return await tunnel;
  } catch (error) {
    plain.destroy();
    throw cut.aborted ? cut.reason : error;
  } finally {
    cut.removeEventListener("abort", end);
  }
}

interface Tls {
  /** Host name or address that the certificate has to be for. */
  readonly name: string;
  readonly options: {
    readonly cert?: string;
    readonly key?: Buffer;
    readonly ca?: string;
    readonly rejectUnauthorized: boolean;
  };
}

async function secure(socket: Socket, { name, options }: Tls, cut: AbortSignal): Promise<TLSSocket> {
  const isName = !/^[\d.]+$|:/.test(name);
  const names = isName ? { servername: name } : { host: name, servername: "" };
  let tls: TLSSocket;
  try {
    tls = connectTls({ socket, ...names, ...options, ALPNProtocols: ["http/1.1"] });
  } catch (error) {
    socket.destroy();
    throw new AgentError("KUBECONFIG_INVALID", "Cannot use the certificates of the kubeconfig", { cause: error });
  }
  try {
    return await settled(tls, "secureConnect", cut);
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** Resolves with the socket at `event`; destroys it when something else comes first. */
function settled<T extends Socket>(socket: T, event: "connect" | "secureConnect", cut: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const over = (): void => {
      cut.removeEventListener("abort", abort);
      socket.off(event, done).off("error", fail).off("close", close);
    };
    const done = (): void => {
      over();
      resolve(socket);
    };
    const fail = (error: unknown): void => {
      over();
      socket.on("error", () => undefined); // told already
      socket.destroy();
      reject(error);
    };
    const close = (): void => fail(new Error("the connection was closed during its start"));
    const abort = (): void => fail(cut.reason);
    socket.once(event, done).once("error", fail).once("close", close);
    cut.addEventListener("abort", abort);
    if (cut.aborted) abort();
  });
}
