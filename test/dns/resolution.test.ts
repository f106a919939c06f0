import type { Answer } from "dns-packet";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { nameTable, type Rig, startDns, startUpstream, type Upstream } from "./rig.ts";

// The whole resolution table of the reference, over UDP and TCP, with servers asked in turn and at once.

const V6 = "2001:db8:0:0:0:ff00:42:8329";
const kubernetes = (shortname: string, namespace: string, ...ips: string[]) => ({
  ...{ ips, shortname, namespace, registry: "Kubernetes" },
});
const TABLE = nameTable({
  "www.google.com": { ips: ["1.1.1.1"] },
  "productpage.ns1.svc.cluster.local": kubernetes("productpage", "ns1", "9.9.9.9"),
  "example.ns2.svc.cluster.local": kubernetes("example", "ns2", "10.10.10.10"),
  "details.ns2.svc.cluster.remote": kubernetes(
    "details",
    "ns2",
    "11.11.11.11",
    "12.12.12.12",
    "13.13.13.13",
    "14.14.14.14",
  ),
  "svc-with-alt.ns1.svc.cluster.local": {
    ...kubernetes("svc-with-alt", "ns1", "15.15.15.15"),
    alt: ["svc-with-alt.ns1.svc.clusterset.local"],
  },
  "ipv6.localhost": { ips: [V6] },
  "dual.localhost": { ips: ["2.2.2.2", V6] },
  "ipv4.localhost": { ips: ["2.2.2.2"] },
  "*.b.wildcard": { ips: ["11.11.11.11"] },
  "*.wildcard": { ips: ["10.10.10.10"] },
  "*.svc.mesh.company.net": { ips: ["10.1.2.3"] },
  "example.localhost.": { ips: ["3.3.3.3"] },
  "range.example": { ips: ["10.0.0.0/8"] },
  "known.good": { ips: ["7.7.7.7"] },
});
const GIANT: readonly Answer[] = Array.from({ length: 64 }, (_, at) => ({
  ...{ type: "A", name: "aaaaaaaaaaaa.aaaaaa", ttl: 60, data: `240.0.0.${at}` },
}));

let upstream: Upstream;
beforeAll(async () => {
  upstream = await startUpstream((name) => {
    if (name === "www.bing.com") return [{ type: "A", name, ttl: 60, data: "1.1.1.1" }];
    return name === "giant" ? GIANT : undefined;
  });
});
afterAll(() => upstream[Symbol.asyncDispose]());

/** Question, and the records of the answer; `empty` is NOERROR without any, `unknown` the other server's NXDOMAIN. */
const ROWS: readonly (readonly [string, ...string[]])[] = [
  ["www.google.com", "A www.google.com 1.1.1.1"],
  [
    "www.google.com.ns1.svc.cluster.local",
    "CNAME www.google.com.ns1.svc.cluster.local www.google.com",
    "A www.google.com 1.1.1.1",
  ],
  ["www.bing.com", "A www.bing.com 1.1.1.1"],
  ["productpage.ns1.svc.cluster.local", "A productpage.ns1.svc.cluster.local 9.9.9.9"],
  ["productpage.ns1.svc.cluster.local.ns1.svc.cluster.local", "unknown"],
  ["productpage.ns1", "A productpage.ns1 9.9.9.9"],
  ["productpage", "A productpage 9.9.9.9"],
  [
    "productpage.ns1.ns1.svc.cluster.local",
    "CNAME productpage.ns1.ns1.svc.cluster.local productpage.ns1",
    "A productpage.ns1 9.9.9.9",
  ],
  ["AAAA productpage.ns1.ns1.svc.cluster.local", "empty"],
  [
    "productpage.ns1.svc.ns1.svc.cluster.local",
    "CNAME productpage.ns1.svc.ns1.svc.cluster.local productpage.ns1.svc",
    "A productpage.ns1.svc 9.9.9.9",
  ],
  ["example.ns2", "A example.ns2 10.10.10.10"],
  ["example.ns2.svc.cluster.local", "A example.ns2.svc.cluster.local 10.10.10.10"],
  ["example.ns2.svc", "A example.ns2.svc 10.10.10.10"],
  ["example", "unknown"],
  ...[
    "svc-with-alt",
    "svc-with-alt.ns1",
    "svc-with-alt.ns1.svc",
    "svc-with-alt.ns1.svc.cluster.local",
    "svc-with-alt.ns1.svc.clusterset.local",
  ].map((name) => [name, `A ${name} 15.15.15.15`] as const),
  [
    "details.ns2.svc.cluster.remote",
    ...[11, 12, 13, 14].map((one) => `A details.ns2.svc.cluster.remote ${one}.${one}.${one}.${one}`),
  ],
  ["details.ns2", "unknown"],
  ["dual.localhost", "A dual.localhost 2.2.2.2"],
  ["AAAA dual.localhost", "AAAA dual.localhost 2001:db8::ff00:42:8329"],
  ["foo.wildcard", "A foo.wildcard 10.10.10.10"],
  ["b.wildcard", "A b.wildcard 10.10.10.10"],
  ["a.b.wildcard", "A a.b.wildcard 11.11.11.11"],
  ["wildcard", "unknown"],
  // the reference owns these by `*.…`, which resolvers refuse (istio/istio issue 47264)
  ["foo.wildcard.ns1.svc.cluster.local", "A foo.wildcard.ns1.svc.cluster.local 10.10.10.10"],
  ["foo.svc.mesh.company.net", "A foo.svc.mesh.company.net 10.1.2.3"],
  ["foo.foons.svc.mesh.company.net", "A foo.foons.svc.mesh.company.net 10.1.2.3"],
  ["foo.svc.mesh.company.net.ns1.svc.cluster.local", "A foo.svc.mesh.company.net.ns1.svc.cluster.local 10.1.2.3"],
  ["ipv6.localhost", "empty"],
  ["AAAA ipv4.localhost", "empty"],
  ["example.localhost", "A example.localhost 3.3.3.3"],
  ["www.google.com.svc.cluster.local", "unknown"],
  ["range.example", "unknown"],
  ["PRODUCTPAGE.NS1", "A productpage.ns1 9.9.9.9"],
  ...["MX", "TXT", "SRV", "PTR"].map((type) => [`${type} www.google.com`, "unknown"] as const),
];

describe.each([
  ["udp", false],
  ["tcp", false],
  ["udp", true],
  ["tcp", true],
] as const)("over %s, parallel %s", (over, isParallel) => {
  let dns: Rig;
  beforeAll(async () => {
    dns = await startDns({ upstreamPort: upstream.port, isParallel });
    dns.server.take(TABLE);
  });
  afterAll(() => dns[Symbol.asyncDispose]());

  test.each(ROWS)("%s", async (question, ...wanted) => {
    const [name = "", type = "A"] = question.split(" ").reverse();
    const answer = await dns.ask(name, { type: type as "A", over });
    const records = (answer.answers ?? []).map((one) => `${one.type} ${one.name} ${"data" in one ? one.data : ""}`);
    if (wanted[0] === "unknown") expect([answer.rcode, records]).toEqual(["NXDOMAIN", []]);
    else expect([answer.rcode, records.sort()]).toEqual(["NOERROR", wanted[0] === "empty" ? [] : [...wanted].sort()]);
    expect(answer.questions?.[0]?.name).toBe(name);
  });

  test("an answer that is too large for the client is cut, and comes whole to one that can take it", async () => {
    const plain = await dns.ask("giant", { over });
    const wide = await dns.ask("giant", { over, udpSize: 65_535 });
    expect(wide.answers).toHaveLength(64);
    if (over === "tcp") return expect(plain.answers).toHaveLength(64);
    expect([plain.flag_tc, plain.rcode]).toEqual([true, "NOERROR"]);
    expect(plain.bytes.length).toBeLessThanOrEqual(512);
    expect(plain.answers?.length).toBeGreaterThan(5);
  });

  test("our own answers are authoritative, live 30 s and repeat RD", async () => {
    const answer = await dns.ask("productpage", { over });
    expect(answer).toMatchObject({ flag_aa: true, flag_ra: false, flag_rd: true, answers: [{ ttl: 30 }] });
  });

  test("addresses come in any order", async () => {
    const first = new Set<string>();
    for (let count = 0; count < 200 && first.size < 4; count++) {
      const [record] = (await dns.ask("details.ns2.svc.cluster.remote", { over })).answers ?? [];
      first.add(String(record !== undefined && "data" in record && record.data));
    }
    expect(first.size).toBe(4);
  });
});

test("before the first table every question fails at once, and none is passed on", async () => {
  await using dns = await startDns({ upstreamPort: upstream.port });
  const before = upstream.asked.length;
  expect((await dns.ask("www.bing.com")).rcode).toBe("SERVFAIL");
  expect(upstream.asked).toHaveLength(before);
});

test("an empty table is one: names are passed on", async () => {
  await using dns = await startDns({ upstreamPort: upstream.port });
  dns.server.take(nameTable({}));
  expect(dns.server.hasTable()).toBe(true);
  expect((await dns.ask("www.bing.com")).rcode).toBe("NOERROR");
});

test("bytes that are no table leave the last one in place", async () => {
  await using dns = await startDns({ upstreamPort: upstream.port });
  dns.server.take(TABLE);
  expect(() => dns.server.take(Buffer.from([0x0a, 0xff]))).toThrow();
  expect((await dns.ask("productpage")).answers).toHaveLength(1);
});

test("the dump has every derived name, sorted", async () => {
  await using dns = await startDns({ upstreamPort: upstream.port });
  dns.server.take(TABLE);
  const names = Object.keys((dns.server.dump() as { table: object }).table);
  const begin = (prefix: string): string[] => names.filter((name) => name.startsWith(prefix));
  expect(names).toEqual([...names].sort());
  expect(begin("www.google.com")).toEqual(["www.google.com", "www.google.com."]);
  expect(begin("productpage")).toEqual([
    "productpage.",
    "productpage.ns1.",
    "productpage.ns1.svc.",
    "productpage.ns1.svc.cluster.local",
    "productpage.ns1.svc.cluster.local.",
  ]);
  expect(begin("example.localhost")).toEqual(["example.localhost."]);
});
