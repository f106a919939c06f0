import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { lookupForSocket, lookupHost } from "../../src/base/index.ts";
import { findInHosts, parseResolvConf, searchNames } from "../../src/base/resolv-conf.ts";
import { startFakeDns, type Zone } from "../support/fake-dns.ts";

const HOSTS =
  "127.0.0.1\tlocalhost\n::1 ip6 # istiod.commented\n10.0.0.5 Istiod.Test istiod-alias\n10.0.0.6 istiod.test.\n";

/** A look-up with a name server, hosts file and resolv.conf of its own. */
async function world(zone: Zone, conf = "") {
  const folder = await mkdtemp(join(tmpdir(), "pb-lookup-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const dns = await startFakeDns(zone);
  onTestFinished(() => dns[Symbol.asyncDispose]());
  const [hostsFile, resolvFile] = [join(folder, "hosts"), join(folder, "resolv.conf")];
  await writeFile(hostsFile, HOSTS);
  await writeFile(resolvFile, `nameserver 127.0.0.1\n${conf}\n`);
  const files = { hostsFile, resolvFile, port: dns.port };
  return {
    dns,
    files,
    lookup: async (host: string, signal?: AbortSignal) =>
      (await lookupHost(host, { ...files, ...(signal && { signal }) })).map(({ address }) => address),
  };
}

test("an address is its own, and /etc/hosts comes before every server, with and without a final dot", async () => {
  const { lookup, dns } = await world({});
  expect(await lookup("10.1.2.3")).toEqual(["10.1.2.3"]);
  expect(await lookup("2001:db8::1")).toEqual(["2001:db8::1"]);
  expect(await lookup("istiod.test")).toEqual(["10.0.0.5", "10.0.0.6"]);
  expect(await lookup("ISTIOD.test.")).toEqual(["10.0.0.5", "10.0.0.6"]);
  expect(await lookup("istiod-alias.")).toEqual(["10.0.0.5"]);
  expect(await lookup("localhost.")).toEqual(["127.0.0.1"]);
  expect(new Set(await lookup("any.localhost"))).toEqual(new Set(["127.0.0.1", "::1"]));
  expect(dns.asked).toEqual([]);
});

test("both IP versions are asked for; a server that says nothing about IPv6 does not hold the answer up", async () => {
  const both = await world({ "a.test": ["10.0.0.1", "10.0.0.2", "fd00::1"] });
  expect([...(await both.lookup("a.test"))].sort()).toEqual(["10.0.0.1", "10.0.0.2", "fd00::1"]);
  const half = await world({ "a.test": "silent for IPv6" });
  const startedMs = performance.now();
  expect(await half.lookup("a.test")).toEqual(["127.0.0.1"]);
  expect(performance.now() - startedMs).toBeLessThan(3_000); // one try alone would take 5 s
});

test("the search list is gone through as ndots says; a name with a final dot is absolute", async () => {
  const conf = "search ns.svc.cluster.local svc.cluster.local\noptions ndots:5";
  const { lookup, dns } = await world({ "istiod.istio-system.svc.cluster.local": ["10.0.0.9"] }, conf);
  expect(await lookup("istiod.istio-system")).toEqual(["10.0.0.9"]);
  expect(new Set(dns.asked)).toEqual(
    new Set(
      ["ns.svc", "svc"].flatMap((at) => ["A", "AAAA"].map((type) => `${type} istiod.istio-system.${at}.cluster.local`)),
    ),
  );
  expect(await lookup("istiod.istio-system.svc.cluster.local.")).toEqual(["10.0.0.9"]);
  await expect(lookup("istiod.istio-system.")).rejects.toThrow(
    /^lookup istiod\.istio-system\. on 127\.0\.0\.1:\d+: no such host$/,
  );
});

test("a changed resolv.conf counts at once, and nothing is remembered", async () => {
  const { lookup, files, dns } = await world({ "a.one": ["10.0.0.1"], "a.two": ["10.0.0.2"] }, "search one");
  expect(await lookup("a")).toEqual(["10.0.0.1"]);
  await writeFile(files.resolvFile, "nameserver 127.0.0.1\nsearch two\n");
  expect(await lookup("a")).toEqual(["10.0.0.2"]);
  expect(await lookup("a")).toEqual(["10.0.0.2"]);
  expect(dns.asked.filter((one) => one === "A a.two")).toHaveLength(2);
});

test("a server that breaks, one that is silent, and an abort are told apart", async () => {
  const { lookup } = await world({ "b.test": "broken", "s.test": "silent" }, "options timeout:1 attempts:1");
  await expect(lookup("b.test")).rejects.toThrow(/server misbehaving/);
  await expect(lookup("s.test")).rejects.toThrow(/no answer within 1 s/);
  await expect(lookup("..")).rejects.toThrow(/not a domain name|no such host|EBADNAME/);
  const abort = new AbortController();
  const looking = lookup("s.test", abort.signal);
  setTimeout(() => abort.abort(new Error("enough")), 50);
  await expect(looking).rejects.toThrow("enough");
});

test("the form for sockets gives one address or all, of the version asked for", async () => {
  const ask = (options: object): Promise<unknown> =>
    new Promise((done) => lookupForSocket("127.0.0.1", options as never, (...answer) => done(answer)));
  expect(await ask({})).toEqual([null, "127.0.0.1", 4]);
  expect(await ask({ all: true })).toEqual([null, [{ address: "127.0.0.1", family: 4 }]]);
  expect(await ask({ family: 6 })).toMatchObject([{ message: "lookup 127.0.0.1: no suitable address" }, []]);
});

test.each([
  ["", { servers: ["127.0.0.1", "::1"], search: ["example.com"], ndots: 1, timeoutMs: 5_000, attempts: 2 }],
  ["nameserver 10.0.0.10\r\nsearch a. b .\n", { servers: ["10.0.0.10"], search: ["a", "b"] }],
  ["search a\ndomain c\n", { search: ["c"] }],
  ["# nameserver 1.1.1.1\n; search x\nnameserver fe80::1%eth0", { servers: ["fe80::1%eth0"], search: ["example.com"] }],
  ["options ndots:5 timeout:0 attempts:99", { ndots: 5, timeoutMs: 1_000, attempts: 10 }],
  ["options ndots:99\noptions ndots:x single-request-reopen", { ndots: 1, isSingleRequest: true }],
  ["nameserver dns.example\nnameserver\nnameserver 1.1.1.1 # x", { servers: ["1.1.1.1"] }],
  ["nameserver [::1]:53\nnameserver 300.1.1.1", { servers: ["127.0.0.1", "::1"] }],
  ["nameserver 1.1.1.1\n".repeat(5), { servers: ["1.1.1.1", "1.1.1.1", "1.1.1.1"] }],
])("resolv.conf %j", (text, expected) => {
  expect(parseResolvConf(text, "host.example.com")).toMatchObject(expected);
});

test.each([
  ["a", 1, ["a.s1", "a.s2", "a"]],
  ["a.b", 1, ["a.b", "a.b.s1", "a.b.s2"]],
  ["a.b", 5, ["a.b.s1", "a.b.s2", "a.b"]],
  ["a.b.", 5, ["a.b"]],
  ["a", 0, ["a", "a.s1", "a.s2"]],
  [`${"x".repeat(63)}.`.repeat(4), 1, []],
])("the names for %s with ndots:%i", (name, ndots, expected) => {
  expect(searchNames(name, { ndots, search: ["s1", "s2"] })).toEqual(expected);
});

test("hosts are read as they are written: comments, tabs, case, several lines", () => {
  expect(findInHosts(HOSTS, "istiod.commented")).toEqual([]);
  expect(findInHosts(HOSTS, "istiod")).toEqual([]);
  expect(findInHosts("", "x")).toEqual([]);
});
