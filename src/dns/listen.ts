import { createSocket, type SocketOptions, type Socket as UdpSocket } from "node:dgram";
import { isIPv6, type Socket } from "node:net";
import {
  AgentError,
  type BoundSocket,
  bindTcp,
  type connectionLimit,
  joinHostPort,
  Lifetime,
  systemCode,
} from "../base/index.ts";
import type { Answer } from "./answer-query.ts";
import { frame, readFrames } from "./tcp-frames.ts";

/** Sockets that are bound and not served yet: what comes early waits in the kernel. */
export interface DnsSockets extends AsyncDisposable {
  /** `host:port` as really bound. */
  readonly addresses: readonly string[];
  serve(answer: Answer): void;
}

/** Idle time of a TCP connection, and questions that one may ask. Source: miekg/dns server.go. */
const IDLE_MS = 8_000;
const MOST_QUESTIONS = 128;

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
  const bound: { readonly udp: UdpSocket; readonly tcp: BoundSocket; readonly held: Buffer[] }[] = [];
  try {
    for (const host of hosts) {
      const tcp = await life.own(`DNS over TCP on ${host}`, bindTcp(host, port, { limit }));
      const udp = await bindUdp(host, tcp.port);
      life.defer(`DNS over UDP on ${host}`, () => new Promise<void>((closed) => udp.close(() => closed())));
      bound.push({ udp, tcp, held: [] });
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
        tcp.handOver((socket) => serveTcp(socket, answer));
      }
    },
    [Symbol.asyncDispose]: () => life[Symbol.asyncDispose](),
  };
}

function bindUdp(host: string, port: number): Promise<UdpSocket> {
  // replies go to addresses only: without this Node passes each through its resolver
  const lookup: SocketOptions["lookup"] = (address, _options, done) => done(null, address, isIPv6(address) ? 6 : 4);
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
      socket.removeAllListeners("error");
      resolve(socket);
    });
  });
}

function serveUdp(socket: UdpSocket, answer: Answer): void {
  socket.on("error", () => undefined); // a client that is gone: its ICMP error comes with a later call
  socket.on("message", (packet, { address, port }) => {
    const reply = answer(packet, "udp");
    if (reply instanceof Promise) void reply.then((late) => sendUdp(socket, late, port, address));
    else if (reply !== undefined) sendUdp(socket, reply, port, address);
  });
}

function sendUdp(socket: UdpSocket, reply: Buffer, port: number, address: string): void {
  try {
    socket.send(reply, port, address, () => undefined);
  } catch {
    // closed since: the agent ends
  }
}

/** Answers one question after the other. */
function serveTcp(socket: Socket, answer: Answer): void {
  let last: Promise<void> = Promise.resolve();
  let left = MOST_QUESTIONS;
  const end = (): void => void socket.destroy();
  socket.setTimeout(IDLE_MS, end);
  socket.on("error", end);
  readFrames(socket, (packet) => {
    if (left === 0) return;
    left--;
    const isLast = left === 0;
    if (isLast) socket.pause();
    last = last.then(async () => {
      const reply = await answer(packet, "tcp");
      if (reply !== undefined && !socket.destroyed) socket.write(frame(reply));
      if (isLast || reply === undefined) socket.end();
    });
  });
}
