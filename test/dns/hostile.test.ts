import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { encode } from "dns-packet";
import { describe, expect, test } from "vitest";
import { nameTable, startDns, startUpstream } from "./rig.ts";

const TABLE = nameTable({ "known.good": { ips: ["7.7.7.7"] } });
const query = (name: string, more: object = {}): Buffer =>
  encode({ type: "query", id: 7, questions: [{ name, type: "A" }], ...more });

describe("questions that are none", () => {
  const loop = Buffer.concat([query("a").subarray(0, 12), Buffer.from([0xc0, 0x0c, 0, 1, 0, 1])]);
  const response = query("a");
  response.writeUInt16BE(0x8000, 2);
  const update = query("a");
  update.writeUInt16BE(5 << 11, 2);
  const two = query("a");
  two.writeUInt16BE(2, 4);
  const cut = query("known.good").subarray(0, 15);
  const long = Buffer.concat([
    query("a").subarray(0, 12),
    Buffer.from([64]),
    Buffer.alloc(64, 97),
    Buffer.from([0, 0, 1, 0, 1]),
  ]);

  test.each([
    ["a header that is cut off", Buffer.alloc(11), undefined],
    ["a response", response, undefined],
    ["another opcode", update, 4],
    ["two questions", two, 1],
    ["a question that is cut off", cut, 1],
    ["a name that points to itself", loop, 1],
    ["a label of 64 bytes", long, 1],
  ])("%s", async (_what, bytes, code) => {
    await using dns = await startDns();
    dns.server.take(TABLE);
    const reply = await dns.raw(bytes);
    expect(reply === undefined ? undefined : reply.readUInt16BE(2) & 0xf).toBe(code);
  });

  test("garbage does no harm", async () => {
    await using upstream = await startUpstream(() => undefined);
    await using dns = await startDns({ upstreamPort: upstream.port });
    dns.server.take(TABLE);
    for (let count = 0; count < 500; count++) await dns.raw(randomBytes(count));
    expect((await dns.ask("known.good")).answers).toHaveLength(1);
  });

  test("64 KiB over TCP, and a connection that says nothing", async () => {
    await using dns = await startDns();
    dns.server.take(TABLE);
    const port = Number(dns.server.addresses[0]?.split(":").at(-1));
    const silent = connect(port, "127.0.0.1");
    const loud = connect(port, "127.0.0.1");
    loud.write(Buffer.concat([Buffer.from([0xff, 0xff]), randomBytes(0xffff)]));
    expect((await dns.ask("known.good", { over: "tcp" })).answers).toHaveLength(1);
    silent.destroy();
    loud.destroy();
  });
});

describe("the other servers", () => {
  test.each([
    ["in turn", false],
    ["at once", true],
  ])("silent ones cost their time and then SERVFAIL, asked %s", async (_how, isParallel) => {
    await using upstream = await startUpstream(() => "silent");
    await using dns = await startDns({ upstreamPort: upstream.port, timeoutMs: 100, isParallel });
    dns.server.take(TABLE);
    expect(await dns.ask("elsewhere.example")).toMatchObject({ rcode: "SERVFAIL", answers: [] });
    expect(dns.metrics.render()).toContain("istio_agent_dns_upstream_failures_total 1");
  });

  test.each([["in turn"], ["at once"]])("none at all: SERVFAIL, asked %s", async (how) => {
    await using dns = await startDns({ servers: [], isParallel: how === "at once" });
    dns.server.take(TABLE);
    expect((await dns.ask("elsewhere.example")).rcode).toBe("SERVFAIL");
  });

  test("one that is away is passed over for the next", async () => {
    await using upstream = await startUpstream((name) => [{ type: "A", name, ttl: 1, data: "5.5.5.5" }], "127.0.0.2");
    await using dns = await startDns({
      servers: ["127.0.0.3", "127.0.0.2"],
      upstreamPort: upstream.port,
      timeoutMs: 500,
    });
    dns.server.take(TABLE);
    for (let count = 0; count < 6; count++) expect((await dns.ask("a.example")).answers).toHaveLength(1);
  });

  test("a reply to another question is no reply", async () => {
    const forged = encode({
      type: "response",
      questions: [{ name: "bank.example", type: "A" }],
      answers: [{ type: "A", name: "bank.example", ttl: 9, data: "6.6.6.6" }],
    });
    await using upstream = await startUpstream(() => forged);
    await using dns = await startDns({ upstreamPort: upstream.port, timeoutMs: 100 });
    dns.server.take(TABLE);
    expect(await dns.ask("shop.example")).toMatchObject({ rcode: "SERVFAIL", answers: [] });
  });

  test("what is asked goes on byte for byte, EDNS and all, with another id", async () => {
    await using upstream = await startUpstream((name) => [{ type: "A", name, ttl: 1, data: "5.5.5.5" }]);
    await using dns = await startDns({ upstreamPort: upstream.port });
    dns.server.take(TABLE);
    await dns.ask("MixedCase.Example", { udpSize: 1_232 });
    expect(upstream.asked[0]).toMatchObject({
      questions: [{ name: "MixedCase.Example" }],
      additionals: [{ type: "OPT", udpPayloadSize: 1_232 }],
    });
  });
});
