import { createSocket } from "node:dgram";

export interface DnsLoad {
  readonly port: number;
  /** Each has a socket of its own, and asks again as soon as it is answered. */
  readonly clients: number;
  readonly seconds: number;
  /** Asked in turn. */
  readonly names: readonly string[];
}

export interface DnsLoadResult {
  readonly answered: number;
  /** Microseconds, one for each answer. */
  readonly tookUs: readonly number[];
  readonly seconds: number;
}

/** Rejects when an answer has no record, or when nothing comes for two seconds. */
export async function loadDns({ port, clients, seconds, names }: DnsLoad): Promise<DnsLoadResult> {
  const packets = names.map(questionFor);
  const tookUs: number[] = [];
  const startedMs = performance.now();
  const endMs = startedMs + seconds * 1_000;
  let next = 0;
  const client = (): Promise<void> =>
    new Promise((done, fail) => {
      const socket = createSocket("udp4");
      const silent = setTimeout(() => fail(new Error("no answer for 2 s")), seconds * 1_000 + 2_000);
      let sentMs = 0;
      const ask = (): void => {
        sentMs = performance.now();
        if (sentMs < endMs) return void socket.send(packets[next++ % packets.length] as Buffer, port, "127.0.0.1");
        clearTimeout(silent);
        socket.close(() => done());
      };
      socket.on("message", (reply) => {
        tookUs.push((performance.now() - sentMs) * 1_000);
        if (reply.readUInt16BE(2) === QUERY_FLAGS || reply.readUInt16BE(6) > 0) ask();
        else fail(new Error(`no address in the answer to ${names[(next - 1) % names.length]}`));
      });
      ask();
    });
  await Promise.all(Array.from({ length: clients }, client));
  return { answered: tookUs.length, tookUs, seconds: (performance.now() - startedMs) / 1_000 };
}

const QUERY_FLAGS = 0x0100; // an echo comes back as it went

export function questionFor(name: string, id: number): Buffer {
  const labels = name.split(".").map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  const head = Buffer.alloc(12);
  head.writeUInt16BE(id & 0xffff, 0);
  head.writeUInt16BE(QUERY_FLAGS, 2);
  head.writeUInt16BE(1, 4);
  return Buffer.concat([head, ...labels, Buffer.from([0, 0, 1, 0, 1])]);
}
