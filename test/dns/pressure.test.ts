import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { connect } from "node:net";
import { decode, encode, type Packet, streamEncode } from "dns-packet";
import { describe, expect, test } from "vitest";
import { connectionLimit, createMetrics, silentLogger } from "../../src/base/index.ts";
import { openDnsServer } from "../../src/dns/index.ts";
import { nameTable, type Rig, startDns, startUpstream } from "./rig.ts";

const TABLE = nameTable({ "known.good": { ips: ["7.7.7.7"] } });
const portOf = (dns: Pick<Rig, "server">): number => Number(dns.server.addresses[0]?.split(":").at(-1));
const descriptors = (): number => readdirSync("/proc/self/fd").length;
const question = (name: string): Packet => ({ type: "query", id: 7, questions: [{ name, type: "A" }] });

describe("the other servers", () => {
  // a callback of connect() gets the error, too, and would send on a socket that is none
  test.each([["nosuch.invalid"], ["fe80::1%nosuch"], ["2001:db8::1"]])(
    "one that cannot be reached, %s, is passed over",
    async (away) => {
      await using upstream = await startUpstream((name) => [{ type: "A", name, ttl: 1, data: "5.5.5.5" }], "127.0.0.2");
      const servers = [away, "127.0.0.2"];
      await using dns = await startDns({ servers, upstreamPort: upstream.port, timeoutMs: 1_000 });
      dns.server.take(TABLE);
      for (let count = 0; count < 8; count++) expect((await dns.ask("a.example")).answers).toHaveLength(1);
    },
  );

  test("asked at once, those that lost take no socket any more", async () => {
    await using upstream = await startUpstream((name) => [{ type: "A", name, ttl: 1, data: "5.5.5.5" }]);
    await using silent = await startUpstream(() => "silent", "127.0.0.2", upstream.port);
    const servers = ["127.0.0.1", "127.0.0.2"];
    await using dns = await startDns({ servers, upstreamPort: silent.port, isParallel: true });
    dns.server.take(TABLE);
    const before = descriptors();
    for (let count = 0; count < 50; count++) await dns.ask("a.example");
    expect(descriptors()).toBeLessThan(before + 10);
  });

  test("the server itself is none of them", async () => {
    const server = await openDnsServer({
      ...{ address: "127.0.0.1:0", isRoot: false, limit: connectionLimit(), mostExchanges: 1_000, log: silentLogger },
      readFile: async () => "nameserver 127.0.0.1\n",
    });
    const upstreamPort = portOf({ server });
    const metrics = createMetrics("");
    server.serve({ namespace: "", domain: "", isParallel: false, timeoutMs: 5_000, metrics, upstreamPort });
    server.take(TABLE);
    const socket = createSocket("udp4");
    socket.send(encode(question("a.example")), upstreamPort, "127.0.0.1");
    const [reply] = await once(socket, "message");
    expect(decode(reply)).toMatchObject({ rcode: "SERVFAIL" });
    expect(metrics.render()).toContain("dns_requests_total 1\n");
    socket.close();
    await server[Symbol.asyncDispose]();
  });

  test("a saved resolv.conf that cannot be read is an error, one that is not there is not", async () => {
    const open = (code: string) =>
      openDnsServer({
        ...{ address: "127.0.0.1:53", isRoot: true, limit: connectionLimit(), mostExchanges: 1, log: silentLogger },
        readFile: async (path) => {
          if (path.startsWith("/var")) throw Object.assign(new Error(code), { code });
          throw new Error("read the usual one");
        },
      });
    await expect(open("EACCES")).rejects.toThrow("EACCES");
    await expect(open("ENOENT")).rejects.toThrow("read the usual one");
  });
});

describe("clients over TCP", () => {
  test("one that ends its side after the question gets a forwarded answer", async () => {
    await using upstream = await startUpstream((name) => [{ type: "A", name, ttl: 1, data: "5.5.5.5" }]);
    await using dns = await startDns({ upstreamPort: upstream.port });
    dns.server.take(TABLE);
    const socket = connect({ port: portOf(dns), host: "127.0.0.1", allowHalfOpen: true });
    socket.end(streamEncode(question("a.example")));
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk);
    expect(decode(Buffer.concat(chunks).subarray(2))).toMatchObject({ answers: [{ data: "5.5.5.5" }] });
  });

  test("idle connections shut nobody out", async () => {
    await using dns = await startDns();
    dns.server.take(TABLE);
    const idle = Array.from({ length: 150 }, () => connect(portOf(dns), "127.0.0.1").on("error", () => undefined));
    await Promise.all(idle.map((socket) => once(socket, "connect")));
    expect((await dns.ask("known.good", { over: "tcp" })).answers).toHaveLength(1);
    for (const socket of idle) socket.destroy();
  });

  test("questions of one that left are not asked", async () => {
    await using upstream = await startUpstream(() => "silent");
    await using dns = await startDns({ upstreamPort: upstream.port, timeoutMs: 200 });
    dns.server.take(TABLE);
    const socket = connect(portOf(dns), "127.0.0.1");
    for (let count = 0; count < 20; count++) socket.write(streamEncode(question(`a${count}.example`)));
    await expect.poll(() => upstream.asked.length).toBeGreaterThan(0);
    socket.resetAndDestroy();
    const asked = upstream.asked.length;
    const later = await dns.ask("b.example"); // takes as long as one of those would
    expect([later.rcode, upstream.asked.length <= asked + 2]).toEqual(["SERVFAIL", true]);
  });

  test("closing gives up what is with a silent server", async () => {
    await using upstream = await startUpstream(() => "silent");
    const dns = await startDns({ upstreamPort: upstream.port, timeoutMs: 60_000 });
    dns.server.take(TABLE);
    const socket = connect(portOf(dns), "127.0.0.1").on("error", () => undefined);
    for (let count = 0; count < 3; count++) socket.write(streamEncode(question(`a${count}.example`)));
    await expect.poll(() => upstream.asked.length).toBeGreaterThan(0);
    const before = descriptors();
    await dns[Symbol.asyncDispose]();
    await expect.poll(descriptors).toBeLessThan(before);
  });
});

test("a question that comes before anybody serves is answered then", async () => {
  const server = await openDnsServer({
    ...{ address: "127.0.0.1:0", isRoot: false, limit: connectionLimit(), mostExchanges: 1, log: silentLogger },
    readFile: async () => "",
  });
  const socket = createSocket("udp4");
  const sent = new Promise((done) =>
    socket.send(encode(question("known.good")), portOf({ server }), "127.0.0.1", done),
  );
  await sent;
  await new Promise((next) => setImmediate(next));
  server.take(TABLE);
  server.serve({ namespace: "", domain: "", isParallel: false, timeoutMs: 5_000, metrics: createMetrics("") });
  const [reply] = await once(socket, "message");
  expect(decode(reply)).toMatchObject({ answers: [{ data: "7.7.7.7" }] });
  socket.close();
  await server[Symbol.asyncDispose]();
});

test("a cut reply keeps EDNS", async () => {
  const answers = Array.from({ length: 80 }, (_, at) => ({
    ...{ type: "A" as const, name: "wide.example", ttl: 60, data: `240.0.0.${at}` },
  }));
  const edns = { type: "OPT", name: ".", udpPayloadSize: 4_096, extendedRcode: 0, ednsVersion: 0, flags: 0 } as const;
  const reply = encode({
    ...{ type: "response", questions: [{ name: "wide.example", type: "A" }], answers },
    additionals: [{ ...edns, flag_do: false, options: [] }],
  });
  await using upstream = await startUpstream(() => reply);
  await using dns = await startDns({ upstreamPort: upstream.port });
  dns.server.take(TABLE);
  const got = await dns.ask("wide.example", { udpSize: 700 });
  expect(got).toMatchObject({ flag_tc: true, additionals: [{ type: "OPT", udpPayloadSize: 4_096 }] });
  expect(got.bytes.length).toBeLessThanOrEqual(700);
});
