import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { connect, isIPv6 } from "node:net";
import { describeError, followSignal, type Logger, startLimit } from "../base/index.ts";
import { answers, idOf, type Query, withId } from "./message.ts";
import { shuffled } from "./resolve.ts";
import { frame, readFrames } from "./tcp-frames.ts";

export type Transport = "udp" | "tcp";

export interface ForwarderOptions {
  /** Addresses. */
  readonly servers: readonly string[];
  /** For each server and question. */
  readonly timeoutMs: number;
  /** Ask all at once. */
  readonly isParallel: boolean;
  readonly port: number;
  readonly log: Logger;
}

/** Gives the reply of a server, with the query's own id. Rejects when no server gives one. */
export type Forward = (query: Query, transport: Transport, stop: AbortSignal) => Promise<Buffer>;

/**
 * Passes questions on, byte for byte but for a random id. The first reply counts, whatever it says. A reply from another
 * address, with another id or another question is none. Source: istio/istio pkg/dns/client/dns.go (queryUpstream).
 */
export function createForwarder({ servers, timeoutMs, isParallel, port, log }: ForwarderOptions): Forward {
  const ask = async (query: Query, transport: Transport, server: string, stop: AbortSignal): Promise<Buffer> => {
    try {
      const id = randomInt(0x10000);
      const exchange = transport === "udp" ? askUdp : askTcp;
      using limit = startLimit(stop, timeoutMs, () => new Error(`no answer within ${timeoutMs} ms`));
      limit.signal.throwIfAborted();
      const reply = await exchange({ query, packet: withId(query.packet, id), id, server, port }, limit.signal);
      return withId(reply, idOf(query.packet));
    } catch (error) {
      if (!stop.aborted) log.info(`upstream failure: ${describeError(error)}`, { server, transport });
      throw error;
    }
  };
  return async (query, transport, stop) => {
    const order = shuffled(servers);
    if (isParallel) return firstOf(stop, (over) => order.map((server) => ask(query, transport, server, over)));
    let last: unknown = new Error("resolv.conf names no server");
    for (const server of order) {
      try {
        return await ask(query, transport, server, stop);
      } catch (error) {
        last = error;
      }
      stop.throwIfAborted();
    }
    throw last;
  };
}

/** The first that succeeds. The others are given up then, with their sockets. */
async function firstOf<T>(stop: AbortSignal, start: (over: AbortSignal) => readonly Promise<T>[]): Promise<T> {
  using over = followSignal(stop);
  try {
    return await Promise.any(start(over.signal));
  } finally {
    over.abort(new Error("another server answered"));
  }
}

interface Exchange {
  readonly query: Query;
  readonly packet: Buffer;
  readonly id: number;
  readonly server: string;
  readonly port: number;
}

const isReply = (reply: Buffer, { id, query }: Exchange): boolean => answers(query, reply) && idOf(reply) === id;

/** A socket of its own, connected: the kernel chooses a random port, and drops what comes from elsewhere. */
function askUdp(exchange: Exchange, limit: AbortSignal): Promise<Buffer> {
  const { packet, server, port } = exchange;
  const socket = createSocket(isIPv6(withoutZone(server)) ? "udp6" : "udp4");
  return new Promise<Buffer>((resolve, reject) => {
    limit.addEventListener("abort", () => reject(limit.reason), { once: true });
    socket.on("error", reject);
    socket.on("message", (reply) => {
      if (isReply(reply, exchange)) resolve(reply);
    });
    socket.once("connect", () => socket.send(packet)); // a callback of `connect` would get its error, too
    socket.connect(port, server);
  }).finally(() => socket.close());
}

function askTcp(exchange: Exchange, limit: AbortSignal): Promise<Buffer> {
  const { packet, server, port } = exchange;
  const socket = connect({ host: server, port });
  return new Promise<Buffer>((resolve, reject) => {
    limit.addEventListener("abort", () => reject(limit.reason), { once: true });
    socket.once("error", reject);
    socket.once("end", () => reject(new Error(`${server} closed the connection`)));
    socket.once("connect", () => socket.write(frame(packet)));
    readFrames(socket, (reply) => {
      if (isReply(reply, exchange)) resolve(reply);
      else reject(new Error(`${server} answered another question`));
    });
  }).finally(() => socket.destroy());
}

function withoutZone(address: string): string {
  return address.replace(/%.*/, "");
}
