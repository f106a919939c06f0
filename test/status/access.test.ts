import { request } from "node:http";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { bindTcp } from "../../src/base/index.ts";
import { startRig } from "./rig.ts";

const CHANGING = ["/quitquitquit", "/drain", "/reload"];

/** What a client says of itself; undefined leaves a header out. */
interface Says {
  readonly host?: string;
  readonly origin?: string;
  readonly site?: string;
}

async function post(says: Says, path = "/drain") {
  await using rig = await startRig({ reload: async () => ({ outcome: "replaced" }) });
  const headers = {
    ...(says.host === undefined ? {} : { Host: says.host.replace("PORT", String(rig.port)) }),
    ...(says.origin === undefined ? {} : { Origin: says.origin.replace("PORT", String(rig.port)) }),
    ...(says.site === undefined ? {} : { "Sec-Fetch-Site": says.site }),
  };
  const { status, text: body } = await rig.call(path, { method: "POST", headers });
  return { status, body, called: rig.called };
}

test.each([
  ["no header of a browser", {}],
  ["an IPv4 address", { host: "127.0.0.1:PORT" }],
  ["another address of the loopback", { host: "127.0.0.9:PORT" }],
  ["an IPv6 address", { host: "[::1]:PORT" }],
  ["a mapped address", { host: "[::ffff:127.0.0.1]:PORT" }],
  ["a name", { host: "localhost:PORT" }],
  ["a name with other capitals and its root", { host: "LocalHost.:PORT" }],
  ["a name below localhost, whose target does not exist else", { host: "agent.localhost:PORT" }],
  ["a host without a port", { host: "localhost" }],
  ["a page of its own", { host: "localhost:PORT", origin: "http://localhost:PORT", site: "same-origin" }],
  ["a page of its own at the IPv6 address", { host: "[::1]:PORT", origin: "http://[::1]:PORT" }],
  ["an address that somebody typed", { host: "localhost:PORT", site: "none" }],
])("a POST that changes something is answered with %s", async (_, says) => {
  expect(await post(says)).toMatchObject({ status: 200, body: "OK", called: ["drain"] });
});

test.each([
  ["the host of somebody else", { host: "evil.example:PORT" }],
  ["a host that only begins like ours", { host: "localhost.evil.example" }],
  ["a host that only ends like ours", { host: "evillocalhost:PORT" }],
  ["a name that begins like an address", { host: "127.0.0.1.evil.example:PORT" }],
  ["an address of another machine", { host: "192.168.1.7:PORT" }],
  ["an IPv6 address of another machine", { host: "[2001:db8::1]:PORT" }],
  ["a host with a user before it", { host: "localhost@evil.example" }],
  ["the origin of somebody else", { origin: "https://evil.example" }],
  ["an origin that hides", { origin: "null" }],
  ["an empty origin", { origin: "" }],
  ["a page of another port of this machine", { host: "localhost:PORT", origin: "http://localhost:3000" }],
  ["a page under another name of this machine", { host: "127.0.0.1:PORT", origin: "http://localhost:PORT" }],
  [
    "a name of somebody else's that leads here, and a page of it",
    { host: "a.evil:PORT", origin: "http://a.evil:PORT" },
  ],
  ["a browser's word that the page is another's", { host: "localhost:PORT", site: "cross-site" }],
  ["the same of a neighbour", { host: "localhost:PORT", site: "same-site" }],
])("a POST that changes something is refused with %s", async (_, says) => {
  for (const path of CHANGING) expect(await post(says, path)).toMatchObject({ status: 403, called: [] });
});

test("clients that say no host are old and simple, and no browsers", async () => {
  await using rig = await startRig();
  const client = connect(rig.port, "127.0.0.1");
  client.write("POST /drain HTTP/1.0\r\n\r\n");
  expect(await text(client)).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  const page = connect(rig.port, "127.0.0.1");
  page.write("POST /drain HTTP/1.0\r\nOrigin: http://evil.example\r\n\r\n");
  expect(await text(page)).toMatch(/^HTTP\/1\.1 403 /);
  expect(rig.called).toEqual(["drain"]);
});

test("probes and scrapes are for everybody, whatever they say", async () => {
  await using rig = await startRig({ peer: "10.0.0.1" });
  const headers = { Host: "10.0.0.7:15020", Origin: "http://evil.example", "User-Agent": "kube-probe/1.33" };
  for (const path of ["/healthz/ready", "/metrics"]) expect((await rig.call(path, { headers })).status).toBe(200);
});

test("what tells about the workload is for this machine under its own names, so that no page reads it", async () => {
  await using rig = await startRig({ agentReport: () => ({}) });
  const ask = async (host: string) => (await rig.call("/debug/agent", { headers: { Host: host } })).status;
  expect(await ask("evil.example:15020")).toBe(403);
  expect(await ask("localhost:15020")).toBe(200);
});

test("a refusal quotes what was said as one line of plain text", async () => {
  const { body } = await post({ host: "localhost:PORT", origin: "http://a\u0085<script>.example" });
  expect(body).toMatch(/^A page of "http:\/\/a.*<script>.*" may not do this\n$/);
  expect(body).not.toContain("\u0085");
});

test("over IPv6 the same holds", async () => {
  const socket = await bindTcp("::1", 0).catch(() => undefined);
  if (socket === undefined) return console.log("No IPv6 here: nothing is asked over it");
  await using _rig = await startRig({ socket });
  const ask = (headers: Record<string, string>) =>
    new Promise<number | undefined>((resolve, reject) => {
      const where = { host: "::1", port: socket.port, path: "/drain", method: "POST", agent: false, headers };
      request(where, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
        .on("error", reject)
        .end();
    });
  expect(await ask({})).toBe(200);
  expect(await ask({ Origin: "http://evil.example" })).toBe(403);
  await socket[Symbol.asyncDispose]();
});

test("what a browser really sends for a page of another port is refused", async () => {
  await using rig = await startRig();
  // the form of a page, as Chromium and Firefox post it
  const headers = {
    Host: `localhost:${rig.port}`,
    Origin: "http://localhost:3000",
    Referer: "http://localhost:3000/",
    "Content-Type": "application/x-www-form-urlencoded",
    "Sec-Fetch-Site": "same-site",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
  };
  expect((await rig.call("/quitquitquit", { method: "POST", headers })).status).toBe(403);
  expect(rig.called).toEqual([]);
});
