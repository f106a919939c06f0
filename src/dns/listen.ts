import { createSocket, type RemoteInfo, type SocketOptions, type Socket as UdpSocket } from "node:dgram";
import { isIPv6, type Socket } from "node:net";
import {
  AgentError,
  type BoundSocket,
  bindTcp,
  type connectionLimit,
  joinHostPort,
  Lifetime,
  splitHostPort,
  systemCode,
} from "../base/index.ts";
import type { Answer } from "./answer-query.ts";
import { frame, readFrames } from "./tcp-frames.ts";

/** Sockets that are bound and not served yet: what comes early waits. */
export interface DnsSockets extends AsyncDisposable {
  /** `host:port` as really bound. */
  readonly addresses: readonly string[];
  serve(answer: Answer): void;
}

/** Of a TCP connection: time for its first question, idle time, and questions in all. Source: miekg/dns server.go. */
const FIRST_MS = 2_000;
const IDLE_MS = 8_000;
const MOST_QUESTIONS = 128;
/** Questions of one connection that wait while it is read on. */
const MOST_PENDING = 8;
/** Packets that are kept until there is somebody to answer them. */
const MOST_EARLY = 256;

/**
 * Takes a UDP and a TCP port of the same number on each host; 0 is a free one. Rejects with ADDRESS_IN_USE or
 * ADDRESS_UNUSABLE, and then holds nothing.
 */
export async function bindDns(
  hosts: readonly string[],
  port: number,
  limit: ReturnType<typeof connectionLimit>,
): Promise<DnsSockets> {
  const life = new Lifetime();
  const bound: { readonly udp: EarlyUdp; readonly tcp: BoundSocket }[] = [];
  try {
    for (const host of hosts) {
      const tcp = await life.own(`DNS over TCP on ${host}`, bindTcp(host, port, { limit, allowHalfOpen: true }));
      const address = splitHostPort(tcp.address); // of a host name, what it stands for
      const udp = await bindUdp(typeof address === "string" ? host : address.host, tcp.port);
      life.defer(`DNS over UDP on ${host}`, () => new Promise<void>((closed) => udp.socket.close(() => closed())));
      bound.push({ udp, tcp });
    }
  } catch (error) {
    await life[Symbol.asyncDispose]();
    throw error;
  }
  return {
    addresses: bound.map(({ tcp }) => tcp.address),
    serve(answer) {
      for (const { udp, tcp } of bound) {
        serveUdp(udp, answer);
        const busy = new Set<Socket>();
        tcp.handOver(
          (socket) => serveTcp(socket, answer, busy),
          (socket) => (busy.has(socket) ? 0 : 1),
        );
      }
    },
    [Symbol.asyncDispose]: () => life[Symbol.asyncDispose](),
  };
}

interface EarlyUdp {
  readonly socket: UdpSocket;
  /** Takes what came so far, and everything from now on. */
  handOver(take: (packet: Buffer, from: RemoteInfo) => void): void;
}

function bindUdp(host: string, port: number): Promise<EarlyUdp> {
  // replies go to addresses only: without this Node passes each through its resolver
  const lookup: SocketOptions["lookup"] = (address, _options, done) =>
    done(null, address, address.includes(":") ? 6 : 4);
  const socket = createSocket(
    isIPv6(host) ? { type: "udp6", ipv6Only: host !== "::", lookup } : { type: "udp4", lookup },
  );
  return new Promise((resolve, reject) => {
    socket.once("error", (error) => {
      socket.close();
      const isTaken = systemCode(error) === "EADDRINUSE";
      reject(
        new AgentError(
          isTaken ? "ADDRESS_IN_USE" : "ADDRESS_UNUSABLE",
          `Cannot listen on UDP ${joinHostPort(host, port)}: ${error.message}`,
          { cause: error },
        ),
      );
    });
    socket.bind({ port, address: host }, () => {
      const early: [Buffer, RemoteInfo][] = [];
      let take = (packet: Buffer, from: RemoteInfo): void => {
        if (early.length < MOST_EARLY) early.push([packet, from]);
      };
      socket.removeAllListeners("error");
      socket.on("error", () => undefined); // a client that is gone: its ICMP error comes with a later call
      socket.on("message", (packet, from) => take(packet, from));
      resolve({
        socket,
        handOver(next) {
          take = next;
          for (const [packet, from] of early.splice(0)) next(packet, from);
        },
      });
    });
  });
}

function serveUdp({ socket, handOver }: EarlyUdp, answer: Answer): void {
  handOver((packet, { address, port }) => {
    const reply = answer(packet, "udp");
    if (reply instanceof Promise) void reply.then((late) => sendUdp(socket, late, port, address));
    else if (reply !== undefined) sendUdp(socket, reply, port, address);
  });
}

function sendUdp(socket: UdpSocket, reply: Buffer, port: number, address: string): void {
  try {
    socket.send(reply, port, address); // a callback would cost a turn of the loop; the socket's own listener takes errors
  } catch {
    // closed since: the agent ends
  }
}

/** Answers one question after the other, as long as the client is there. `busy` holds the connections with a question. */
function serveTcp(socket: Socket, answer: Answer, busy: Set<Socket>): void {
  const gone = new AbortController();
  let last: Promise<void> = Promise.resolve();
  let [left, pending] = [MOST_QUESTIONS, 0];
  const end = (): void => void socket.end();
  const done = (): void => {
    pending--;
    if (pending < MOST_PENDING) socket.resume();
    if (pending > 0) return;
    busy.delete(socket);
    socket.setTimeout(IDLE_MS);
  };
  const reply = async (packet: Buffer): Promise<void> => {
    const bytes = socket.destroyed ? undefined : await answer(packet, "tcp", gone.signal);
    if (bytes === undefined) end();
    else if (!socket.destroyed) socket.write(frame(bytes));
    done();
  };
  socket.setTimeout(FIRST_MS, () => socket.destroy());
  socket.on("error", () => socket.destroy());
  socket.once("end", () => {
    last = last.then(end);
  });
  socket.once("close", () => {
    busy.delete(socket);
    gone.abort(new Error("the client has left"));
  });
  readFrames(socket, (packet) => {
    if (left === 0) return;
    left--;
    pending++;
    busy.add(socket);
    socket.setTimeout(0); // the time of other servers is not the client's
    if (pending >= MOST_PENDING) socket.pause();
    last = last.then(() => reply(packet));
    if (left === 0) last = last.then(end);
  });
}
