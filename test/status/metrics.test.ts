import { createServer, type IncomingMessage, type RequestListener } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { counter } from "../../src/base/index.ts";
import { acceptForEnvoy } from "../../src/status/accept.ts";
import { chooseEncoding } from "../../src/status/reply.ts";
import type { Route } from "../../src/status/route.ts";
import { startRig } from "./rig.ts";

test("the agent's metrics come first, then Envoy's, with a line end between", async () => {
  await using envoy = await startEnvoyStats((_request, response) => response.end("envoy_a 1"));
  await using rig = await startRig({ envoyStats: envoy.source });
  rig.metrics.count(counter("xds_proxy_requests", "Requests sent to the control plane."));
  const answer = await rig.call("/stats/prometheus");
  expect(answer.headers["content-type"]).toBe("text/plain; version=0.0.4; charset=utf-8");
  expect(answer.text).toMatch(
    /istio_agent_scrapes_total 1\n[\s\S]*istio_agent_xds_proxy_requests 1\n[\s\S]*\nenvoy_a 1\n$/,
  );
  expect(answer.text).toMatch(/^process_cpu_seconds_total [\d.]+$/m);
  expect((await rig.call("/metrics")).text).toContain("envoy_a 1");
});

const refuse: RequestListener = (_request, response) => response.writeHead(500).end();
const breakOff: RequestListener = (_request, response) => {
  response.writeHead(200, { "Content-Length": "10" }).write("x", () => response.destroy());
};

test.each([
  ["refuses", refuse],
  ["breaks off", breakOff],
])("an Envoy that %s costs only its own part", async (_name, behave) => {
  await using envoy = await startEnvoyStats(behave);
  await using rig = await startRig({ envoyStats: envoy.source });
  const answer = await rig.call("/stats/prometheus");
  expect(answer.status).toBe(200);
  expect(answer.text).toContain('istio_agent_scrape_failures_total{type="envoy"} 1\n');
});

test("an Envoy that hangs is given up before the scraper's own limit", async () => {
  await using envoy = await startEnvoyStats(() => undefined);
  await using rig = await startRig({ envoyStats: envoy.source });
  const answer = await rig.call("/stats/prometheus", { headers: { "X-Prometheus-Scrape-Timeout-Seconds": "0.2" } });
  expect(answer.text).toContain('istio_agent_scrape_failures_total{type="envoy"} 1\n');
  expect(rig.log.at(-1)).toContain("within 0.18s");
});

test("Envoy is asked with the scraper's query, agent and limit, and nothing else of it", async () => {
  let seen: IncomingMessage | undefined;
  await using envoy = await startEnvoyStats((request, response) => {
    seen = request;
    response.end();
  });
  await using rig = await startRig({ envoyStats: envoy.source });
  await rig.call("/stats/prometheus?usedonly", {
    headers: { "User-Agent": "Prometheus/3", Authorization: "Bearer x", "X-Prometheus-Scrape-Timeout-Seconds": "9" },
  });
  expect(seen?.url).toBe("/stats/prometheus?usedonly");
  expect(seen?.headers).toMatchObject({
    "user-agent": "Prometheus/3",
    "x-prometheus-scrape-timeout-seconds": "9",
    accept: "text/plain;version=0.0.4",
  });
  expect(seen?.headers.authorization).toBeUndefined();
});

test("metrics for localhost only: a remote peer is refused and not counted", async () => {
  await using rig = await startRig({ metricsForLocalhostOnly: true, peer: "192.168.1.100" });
  expect((await rig.call("/stats/prometheus")).status).toBe(403);
  expect(rig.metrics.render()).not.toContain("scrapes_total");
});

test("large bodies are compressed, small ones and HEAD are not", async () => {
  const stats = "envoy_metric 1\n".repeat(150_000);
  await using envoy = await startEnvoyStats((_request, response) => response.end(stats));
  await using rig = await startRig({ envoyStats: envoy.source });
  const large = await rig.call("/stats/prometheus", { headers: { "Accept-Encoding": "gzip" } });
  expect(large.headers).toMatchObject({ "content-encoding": "gzip", vary: "Accept-Encoding" });
  expect(gunzipSync(large.body).toString()).toContain(stats);
  const plain = await rig.call("/stats/prometheus");
  expect(plain.headers["content-encoding"]).toBeUndefined();
  expect(plain.text).toContain(stats);
  expect((await rig.call("/nowhere", { headers: { "Accept-Encoding": "gzip" } })).headers).toMatchObject({
    vary: "Accept-Encoding",
    "content-length": "19",
  });
  const head = await rig.call("/stats/prometheus", { method: "HEAD", headers: { "Accept-Encoding": "gzip" } });
  expect(head.headers["content-encoding"]).toBeUndefined();
});

test("of streamed bodies the short ones are not compressed either, and events leave at once", async () => {
  const route = (path: string, contentType: string, pieces: readonly string[]): Route => ({
    ...{ path, access: "anyone" },
    answer: () => ({
      ...{ status: 200, contentType },
      body: (async function* () {
        yield* pieces;
        if (contentType.startsWith("text/event-stream")) await new Promise(() => undefined);
      })(),
    }),
  });
  await using rig = await startRig({
    routes: [
      route("/short", "text/plain", ["x".repeat(500), "x".repeat(523)]),
      route("/long", "text/plain", ["x".repeat(500), "x".repeat(524)]),
      route("/events", "text/event-stream", ["data: now\n\n"]),
    ],
  });
  const headers = { "Accept-Encoding": "gzip" };
  const short = await rig.call("/short", { headers });
  expect(short.headers).toMatchObject({ "content-length": "1023", vary: "Accept-Encoding" });
  expect([short.headers["content-encoding"], short.text]).toEqual([undefined, "x".repeat(1_023)]);
  const long = await rig.call("/long", { headers });
  expect([long.headers["content-encoding"], gunzipSync(long.body).length]).toEqual(["gzip", 1_024]);
  const socket = connect(rig.port, "127.0.0.1");
  socket.write("GET /events HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
  const said: Buffer[] = [];
  socket.on("data", (piece) => said.push(piece));
  await expect.poll(() => String(Buffer.concat(said))).toContain("data: now");
  socket.destroy();
});

const hasZstd = "zstdCompress" in (await import("node:zlib"));
test.each([
  [undefined, undefined],
  ["gzip", "gzip"],
  ["zstd", hasZstd ? "zstd" : undefined],
  ["gzip, zstd", hasZstd ? "zstd" : "gzip"],
  ["deflate, gzip;q=1.0, zstd;q=0.5", "gzip"],
  ["br, lz4", undefined],
  ["*", undefined],
  ["gzip;q=0", undefined],
])("Accept-Encoding %s gives %s", (accepted, encoding) => {
  expect(chooseEncoding(accepted)).toBe(encoding);
});

const PLAIN = "text/plain;version=0.0.4";
test.each([
  [undefined, PLAIN],
  ["", PLAIN],
  ["/", PLAIN],
  ["application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", PLAIN],
  ["*/*", "text/plain; q=0.1; version=0.0.4"],
  ["text/plain;version=0.0.4;q=0.3, */*", "text/plain; q=0.1; version=0.0.4"],
  [
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
    "text/plain; escaping=allow-utf-8; q=0.2; version=1.0.0,text/plain; q=0.1; version=0.0.4",
  ],
])("Accept %s becomes %s for Envoy", (incoming, outgoing) => {
  expect(acceptForEnvoy(incoming)).toBe(outgoing);
});

async function startEnvoyStats(behave: RequestListener) {
  const server = createServer(behave);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    source: { host: "127.0.0.1", port: (server.address() as AddressInfo).port },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}
