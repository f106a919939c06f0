import { createSocket } from "node:dgram";
import { connect, createServer, type Socket } from "node:net";
import {
  type Answer,
  type DecodedPacket,
  decode,
  encode,
  type Packet,
  type RecordType,
  streamEncode,
} from "dns-packet";
import { connectionLimit, createMetrics, type MetricsRegistry, silentLogger } from "../../src/base/index.ts";
import { type DnsServer, openDnsServer } from "../../src/dns/index.ts";
import { encodeFields } from "../../src/proto/wire.ts";

/** One host of a name table, in the words of the message. */
export interface Host {
  readonly ips: readonly string[];
  readonly registry?: string;
  readonly shortname?: string;
  readonly namespace?: string;
  readonly alt?: readonly string[];
}

export function nameTable(hosts: Readonly<Record<string, Host>>): Uint8Array {
  const entries = Object.entries(hosts).map(
    ([host, { ips, registry = "External", shortname, namespace, alt = [] }]) => {
      const info = Buffer.concat([
        ...ips.map((ip) => encodeFields({ 1: ip })),
        encodeFields({ 2: registry, 3: shortname, 4: namespace }),
        ...alt.map((name) => encodeFields({ 5: name })),
      ]);
      return encodeFields({ 1: encodeFields({ 1: host, 2: info }) });
    },
  );
  return Buffer.concat(entries);
}

/** The servers of resolv.conf: one port, UDP and TCP. `answer` gives the records, `undefined` NXDOMAIN, `"silent"` nothing. */
export interface Upstream extends AsyncDisposable {
  readonly port: number;
  readonly asked: Packet[];
}

export type Zone = (name: string, packet: Packet) => readonly Answer[] | undefined | "silent" | Buffer;

export async function startUpstream(zone: Zone, host = "127.0.0.1", wantedPort = 0): Promise<Upstream> {
  const asked: Packet[] = [];
  const reply = (query: Buffer): Buffer | undefined => {
    const packet = decode(query);
    asked.push(packet);
    const found = zone(packet.questions?.[0]?.name ?? "", packet);
    if (found === "silent") return undefined;
    if (Buffer.isBuffer(found)) return Buffer.concat([query.subarray(0, 2), found.subarray(2)]);
    const answer = encode({
      type: "response",
      id: packet.id ?? 0,
      questions: packet.questions ?? [],
      answers: [...((found ?? []) as readonly Answer[])],
    });
    answer.writeUInt16BE(0x8180 | (found === undefined ? 3 : 0), 2);
    return answer;
  };
  const udp = createSocket("udp4");
  udp.on("message", (query, from) => {
    const answer = reply(query);
    if (answer !== undefined) udp.send(answer, from.port, from.address);
  });
  const tcp = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (data) => {
      const answer = reply(data.subarray(2));
      const length = Buffer.alloc(2);
      length.writeUInt16BE(answer?.length ?? 0);
      if (answer !== undefined) socket.write(Buffer.concat([length, answer]));
    });
  });
  await new Promise<void>((done) => tcp.listen(wantedPort, host, done));
  const { port } = tcp.address() as { port: number };
  await new Promise<void>((done) => udp.bind(port, host, done));
  const open = new Set<Socket>();
  tcp.on("connection", (socket) => open.add(socket));
  return {
    port,
    asked,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await Promise.all([new Promise((done) => udp.close(() => done(0))), new Promise((done) => tcp.close(done))]);
    },
  };
}

export interface Rig extends AsyncDisposable {
  readonly server: DnsServer;
  readonly metrics: MetricsRegistry;
  ask(name: string, options?: Asking): Promise<DecodedPacket & { readonly rcode: string; readonly bytes: Buffer }>;
  /** Sends bytes by UDP; undefined when nothing comes back before the answer to a good question. */
  raw(bytes: Buffer): Promise<Buffer | undefined>;
}

export interface Asking {
  readonly type?: RecordType;
  readonly over?: "udp" | "tcp";
  /** EDNS. */
  readonly udpSize?: number;
}

export interface RigOptions {
  readonly servers?: readonly string[];
  readonly search?: string;
  readonly upstreamPort?: number;
  readonly isParallel?: boolean;
  readonly timeoutMs?: number;
  readonly address?: string;
}

export async function startDns(options: RigOptions = {}): Promise<Rig> {
  const { servers = ["127.0.0.1"], search = "ns1.svc.cluster.local svc.cluster.local cluster.local" } = options;
  const metrics = createMetrics("istio_agent_");
  const text = `search ${search}\n${servers.map((server) => `nameserver ${server}\n`).join("")}`;
  const server = await openDnsServer({
    address: options.address ?? "localhost:0",
    isRoot: false,
    readFile: async () => text,
    limit: connectionLimit(),
    mostExchanges: 1_000,
    log: silentLogger,
  });
  server.serve({
    namespace: "ns1",
    domain: "ns1.svc.cluster.local",
    isParallel: options.isParallel ?? false,
    timeoutMs: options.timeoutMs ?? 5_000,
    metrics,
    ...(options.upstreamPort === undefined ? {} : { upstreamPort: options.upstreamPort }),
  });
  const port = Number(server.addresses[0]?.split(":").at(-1));
  return {
    server,
    metrics,
    async ask(name, { type = "A", over = "udp", udpSize } = {}) {
      const packet: Packet = {
        type: "query",
        id: Math.floor(Math.random() * 0xffff),
        flags: 0x100,
        questions: [{ name, type }],
        ...(udpSize === undefined
          ? {}
          : {
              additionals: [
                {
                  type: "OPT",
                  name: ".",
                  udpPayloadSize: udpSize,
                  extendedRcode: 0,
                  ednsVersion: 0,
                  flags: 0,
                  flag_do: false,
                  options: [],
                },
              ],
            }),
      };
      const bytes = await (over === "udp" ? overUdp(encode(packet), port) : overTcp(streamEncode(packet), port));
      const answer = decode(bytes);
      if (answer.id !== packet.id) throw new Error("another id");
      return { ...(answer as DecodedPacket & { rcode: string }), bytes };
    },
    async raw(bytes) {
      const socket = createSocket("udp4");
      const good = encode({ type: "query", id: 0xbeef, questions: [{ name: "known.good", type: "A" }] });
      return new Promise<Buffer | undefined>((done) => {
        socket.once("message", (reply) => done(reply.readUInt16BE(0) === 0xbeef ? undefined : reply));
        socket.send(bytes, port, "127.0.0.1", () => socket.send(good, port, "127.0.0.1"));
      }).finally(() => socket.close());
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

function overUdp(packet: Buffer, port: number): Promise<Buffer> {
  const socket = createSocket("udp4");
  return new Promise<Buffer>((done) => {
    socket.once("message", done);
    socket.send(packet, port, "127.0.0.1");
  }).finally(() => socket.close());
}

function overTcp(packet: Buffer, port: number): Promise<Buffer> {
  const socket = connect(port, "127.0.0.1");
  return new Promise<Buffer>((done, fail) => {
    let held: Buffer = Buffer.alloc(0);
    socket.on("error", fail);
    socket.on("data", (data: Buffer) => {
      held = Buffer.concat([held, data]);
      if (held.length >= 2 && held.length >= 2 + held.readUInt16BE(0)) done(held.subarray(2, 2 + held.readUInt16BE(0)));
    });
    socket.on("end", () => fail(new Error("closed without an answer")));
    socket.write(packet);
  }).finally(() => socket.destroy());
}
