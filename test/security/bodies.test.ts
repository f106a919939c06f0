import { createServer, type Server } from "node:http";
import { promisify } from "node:util";
import { gunzipSync, gzip } from "node:zlib";
import { describe, expect, test } from "vitest";
import { readBody } from "../../src/base/index.ts";
import { exchange } from "../../src/cli/http-exchange.ts";
import { createAdminClient } from "../../src/envoy/index.ts";
import { fetchGceToken } from "../../src/identity/tokens/gce.ts";
import { askMetadata } from "../../src/node/platform/metadata-server.ts";
import { peakMegabytes } from "../faults/rig.ts";
import { startRig } from "../status/rig.ts";
import { runtimes } from "../support/pilotboat.ts";
import { isAlive } from "../support/processes.ts";
import { listenOn, startVictim } from "./rig.ts";

const MEBIBYTE = 2 ** 20;

/** 64 MiB of zeros, packed to 64 KiB; one after the other they are one body (RFC 1952 section 2.2). */
const MEMBER = await promisify(gzip)(Buffer.alloc(64 * MEBIBYTE));
const MEMBERS = 48;

function bomb(): Server {
  return createServer((_request, response) => {
    response.writeHead(200, { "Content-Encoding": "gzip" }).end(Buffer.concat(Array(MEMBERS).fill(MEMBER)));
  });
}

/** Never ends, as fast as it is read. */
function flood(status = 200, chunk = Buffer.alloc(MEBIBYTE, "x")): Server {
  return createServer((_request, response) => {
    response.writeHead(status);
    const pour = (): void => {
      while (!response.destroyed && response.write(chunk));
    };
    response.on("drain", pour).on("error", () => undefined);
    pour();
  });
}

const floodOfLines = (): Server => flood(200, Buffer.from("envoy_a 1\n".repeat(MEBIBYTE / 16)));

async function opened(server: Server) {
  const port = await listenOn(server);
  return {
    port,
    url: `http://127.0.0.1:${port}/`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

describe.each(runtimes())("a scrape on $name", (runtime) => {
  test.each([
    ["a gzip bomb of 3 GB", bomb, "a line is longer than 1 MiB"],
    ["a line without an end", flood, "a line is longer than 1 MiB"],
    ["a body without an end", floodOfLines, "the body is longer than 256 MiB"],
  ])("hostile 5: %s from the metrics port costs Envoy's part, not the agent", async (_what, attack, told) => {
    await using victim = await startVictim(runtime);
    const before = peakMegabytes(victim.agent.pid);
    const server = attack();
    await listenOn(server, victim.sandbox.ports.prometheus);
    try {
      const answer = await victim.ask("/stats/prometheus");
      expect(answer).toMatchObject({ status: 200, isBroken: false });
      expect(answer.bytes).toBeLessThan(300 * MEBIBYTE);
      const packed = await victim.ask("/stats/prometheus", { "Accept-Encoding": "gzip" });
      expect(packed.isBroken).toBe(false);
    } finally {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    }
    expect(isAlive(victim.agent.pid)).toBe(true);
    expect(peakMegabytes(victim.agent.pid) - before).toBeLessThan(250);
    const after = await victim.ask("/stats/prometheus");
    expect(after).toMatchObject({ status: 200, isBroken: false });
    expect(after.text).toContain('istio_agent_scrape_failures_total{type="envoy"}');
    expect(victim.agent.stdout()).toContain(told);
  });
});

test("hostile 5: statistics that are large but honest arrive whole, plain and packed", async () => {
  const stats = Array.from({ length: 400_000 }, (_, at) => `envoy_metric{n="${at}"} ${at}\n`).join("");
  expect(stats.length).toBeGreaterThan(8 * MEBIBYTE);
  await using envoy = await opened(createServer((_request, response) => response.end(stats)));
  await using rig = await startRig({ envoyStats: { host: "127.0.0.1", port: envoy.port } });
  expect((await rig.call("/stats/prometheus")).text.endsWith(`\n${stats}`)).toBe(true);
  const packed = await rig.call("/stats/prometheus", { headers: { "Accept-Encoding": "gzip" } });
  expect(packed.headers["content-encoding"]).toBe("gzip");
  expect(gunzipSync(packed.body).toString().endsWith(`\n${stats}`)).toBe(true);
  const head = await rig.call("/stats/prometheus", { method: "HEAD" });
  expect(head).toMatchObject({ status: 200, text: "" });
});

test("hostile 5: a client that leaves in the middle of a large scrape ends the source, too, and is no failure", async () => {
  let isOpen = true;
  const server = floodOfLines().on("connection", (socket) => socket.once("close", () => (isOpen = false)));
  await using envoy = await opened(server);
  await using rig = await startRig({ envoyStats: { host: "127.0.0.1", port: envoy.port } });
  const { connect } = await import("node:net");
  const client = connect(rig.port, "127.0.0.1");
  client.write("GET /stats/prometheus HTTP/1.1\r\nHost: a\r\n\r\n");
  await new Promise((done) => client.once("data", done));
  client.destroy();
  await expect.poll(() => isOpen).toBe(false);
  expect(rig.log.join("\n")).not.toContain("status request failed");
});

test("hostile 5: every client of the agent gives up on a body without an end", async () => {
  await using endless = await opened(flood());
  const { port, url } = endless;
  const admin = createAdminClient("127.0.0.1", port);
  await expect(admin.get("/server_info", 30_000)).rejects.toThrow("the body is longer than 16 MiB");
  const signal = new AbortController().signal;
  const limits = { timeoutMs: 30_000, limit: signal };
  expect(await askMetadata(url, limits)).toBeUndefined();
  const asked = exchange({ method: "GET", url: new URL(url), timeoutMs: 60_000, signal });
  await expect(asked).rejects.toThrow("the body is longer than 256 MiB");
  const fetching = fetchGceToken({ path: "/nowhere/token", trustDomain: "t", gceMetadataHost: `127.0.0.1:${port}` });
  await expect(fetching()).rejects.toThrow("the body is longer than 64 KiB");
});

test("hostile 5: a source that is given up is ended", async () => {
  let isEnded = false;
  const endless = (async function* () {
    try {
      for (;;) yield Buffer.alloc(1_000);
    } finally {
      isEnded = true;
    }
  })();
  await expect(readBody(endless, 10_000)).rejects.toThrow("longer than");
  expect(isEnded).toBe(true);
});
