import { createServer, type IncomingMessage, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { expect, onTestFinished, test } from "vitest";
import { acceptForApplication } from "../../src/status/accept.ts";
import { checkMetrics, hasPromtool, LINT_ONLY } from "../support/promtool.ts";
import { startRig } from "./rig.ts";

const TEXT = "text/plain; version=0.0.4; charset=utf-8";
const OM0 = "application/openmetrics-text; version=0.0.1; charset=utf-8";
const OM1 = "application/openmetrics-text; version=1.0.0; charset=utf-8";

async function source(behave: RequestListener | string, contentType = "text/plain"): Promise<number> {
  const server = createServer((request, response) => {
    if (typeof behave !== "string") return behave(request, response);
    response.writeHead(200, { "Content-Type": contentType }).end(behave);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

const targetsOf = (ports: readonly number[]) => ports.map((port) => ({ port, path: "/metrics" }));

/** Lines about the agent's process. */
const OF_PROCESS = /^(# (HELP|TYPE) )?process_.*\n/gm;

/** The merged answer; \`after\` is without the agent's own metrics. */
async function merged(applications: readonly number[], headers: Record<string, string> = {}) {
  const envoy = await source("envoy_a 1");
  await using rig = await startRig({
    envoyStats: { host: "127.0.0.1", port: envoy },
    targets: targetsOf(applications),
  });
  const answer = await rig.call("/stats/prometheus", { headers });
  const { text } = answer;
  const failures = /scrape_failures_total\{type="application"\} (\d+)/.exec(text)?.[1] ?? "0";
  const after = text.slice(text.indexOf("envoy_a 1\n")).replaceAll(OF_PROCESS, "");
  return { type: answer.headers["content-type"], after, text, failures, log: rig.log };
}

test("agent, Envoy, application, each on lines of its own, in the application's form", async () => {
  expect(await merged([await source("app_a 2")])).toMatchObject({ type: TEXT, after: "envoy_a 1\napp_a 2\n" });
  const open = await source("app_a 2\n# EOF\n", "application/openmetrics-text; version=1.0.0");
  expect(await merged([open])).toMatchObject({ type: OM1, after: "envoy_a 1\napp_a 2\n# EOF\n" });
});

test.each([
  ["application/openmetrics-text; version=0.0.1", OM0],
  ["application/openmetrics-text; version=0.0.1; charset=utf-8", OM0],
  ["application/openmetrics-text", OM0],
  ["application/openmetrics-text; version=1.0.0; charset=utf-8", OM1],
  ["application/openmetrics-text; version=9", TEXT],
  ["text/plain; version=0.0.4", TEXT],
  ["odd", TEXT],
])("an application that answers with %s makes it %s", async (contentType, type) => {
  expect((await merged([await source("a 1\n", contentType)])).type).toBe(type);
});

const OPEN_1 = "application/openmetrics-text; version=1.0.0";

test.each([
  ["two of OpenMetrics", ["a 1\n# EOF\n", "b 2\n# EOF"], OM1, "a 1\nb 2\n# EOF\n"],
  ["with other line ends", ["a 1\r\n# EOF\r\n", "b 2\r\n# EOF\r\n\r\n"], OM1, "a 1\r\nb 2\r\n# EOF\n"],
  ["empty ones", ["# EOF\n", ""], OM1, "# EOF\n"],
  [
    "a help text that ends like an end",
    ["# HELP a # EOF\na 1\n", "# HELP b # EOF\n"],
    OM1,
    "# HELP a # EOF\na 1\n# HELP b # EOF\n# EOF\n",
  ],
  ["what only looks like an end", ["a 1\n# EOF b\n", "# EOF\nb 2\n"], OM1, "a 1\n# EOF b\n# EOF\nb 2\n# EOF\n"],
])("several targets: %s", async (_name, bodies, type, after) => {
  const ports = await Promise.all(bodies.map((body) => source(body, OPEN_1)));
  expect(await merged(ports)).toMatchObject({ type, after: `envoy_a 1\n${after}` });
});

test("several targets of different forms are text, without an end mark, in their order", async () => {
  const [slow, open, older] = await Promise.all([
    source((_, response) => setTimeout(() => response.end("a 1\n"), 100)),
    source("b 2\n# EOF\n", OPEN_1),
    source("c 3\n# EOF\n", "application/openmetrics-text"),
  ]);
  expect(await merged([slow, open])).toMatchObject({ type: TEXT, after: "envoy_a 1\na 1\nb 2\n" });
  expect(await merged([open, slow])).toMatchObject({ type: TEXT, after: "envoy_a 1\nb 2\na 1\n" });
  expect(await merged([open, older])).toMatchObject({ type: TEXT, after: "envoy_a 1\nb 2\nc 3\n" });
});

test("a target that fails costs only its own part", async () => {
  const broken = await source((_, response) => response.writeHead(500).end());
  const open = await source("b 2\n# EOF\n", OPEN_1);
  const one = await merged([broken, open]);
  expect(one).toMatchObject({ type: OM1, after: "envoy_a 1\nb 2\n# EOF\n", failures: "1" });
  expect(one.log.join("\n")).toMatch(
    /failed scraping application metrics from "\d+\/metrics"\treason=unexpected status 500/,
  );
  expect(await merged([broken, broken])).toMatchObject({ type: TEXT, after: "envoy_a 1\n", failures: "2" });
  const silent = await source(() => undefined);
  const late = await merged([silent], { "X-Prometheus-Scrape-Timeout-Seconds": "0.3" });
  expect(late).toMatchObject({ type: TEXT, after: "envoy_a 1\n", failures: "1" });
});

test("a target that never answers costs nothing of a long answer of Envoy, and one that redirects slowly has one limit for all", async () => {
  const stats = "envoy_b 1\n".repeat(200_000);
  const [envoy, silent] = await Promise.all([source(stats), source(() => undefined)]);
  const headers = { "X-Prometheus-Scrape-Timeout-Seconds": "1" };
  await using rig = await startRig({ envoyStats: { host: "127.0.0.1", port: envoy }, targets: targetsOf([silent]) });
  const answer = await rig.call("/stats/prometheus", { headers });
  expect(answer.text.endsWith(stats)).toBe(true);
  expect(answer.text).toContain('failures_total{type="application"} 1');
  expect(answer.text).not.toContain('failures_total{type="envoy"} 1');
  let redirects = 0;
  const slow = await source((_, response) => {
    redirects++;
    setTimeout(() => response.writeHead(302, { location: "/metrics" }).end(), 300);
  });
  await using other = await startRig({ targets: targetsOf([slow]) });
  await other.call("/stats/prometheus", { headers });
  expect(redirects).toBeLessThan(5);
});

test.each([
  ["protobuf", "application/vnd.google.protobuf; encoding=delimited"],
  ["a page of the application", "text/html; charset=utf-8"],
  ["an error as JSON", "application/json"],
])("%s is never mixed with text", async (_what, contentType) => {
  const proto = await source("\x05\x0a\x03abc", contentType);
  const answer = await merged([proto]);
  expect(answer).toMatchObject({ type: TEXT, after: "envoy_a 1\n", failures: "1" });
  expect(answer.log.join("\n")).toContain("cannot be merged with text");
});

test("a long body that breaks off ends with its last whole line, and the document stays whole", async () => {
  const line = `app_a{of="${"x".repeat(100)}"} 1\n`;
  const port = await source((_, response) => {
    response.writeHead(200, { "Content-Type": OPEN_1, "Content-Length": "999999" });
    response.write(`${line.repeat(2_000)}app_b{`, () => setTimeout(() => response.destroy(), 50));
  });
  const { after, type, log } = await merged([port]);
  expect(type).toBe(OM1);
  expect(after).toBe(`envoy_a 1\n${line.repeat(2_000)}# EOF\n`);
  expect(log.join("\n")).toContain("failed scraping application metrics");
});

test("of several targets, one of exactly 10 MiB is kept, one byte more is left out", async () => {
  const full = "a 1\n".repeat((10 * 2 ** 20) / 4);
  const [fits, spills] = await Promise.all([source(full), source(`${full}\n`)]);
  const answer = await merged([fits, spills]);
  expect(answer.after.length).toBe("envoy_a 1\n".length + full.length);
  expect(answer.failures).toBe("1");
});

test("what is asked of the application: the scraper's agent, limit and forms; not its query, not its credentials", async () => {
  let seen: IncomingMessage | undefined;
  const port = await source((request, response) => {
    seen = request;
    response.end(gzipSync("app_a 1\n"));
  });
  await using rig = await startRig({ targets: [{ port, path: "/custom?x=1" }] });
  await rig.call("/stats/prometheus?usedonly", {
    headers: { Accept: "application/*, text/plain", "User-Agent": "Prometheus/3", Authorization: "Bearer x" },
  });
  expect(seen?.url).toBe("/custom?x=1");
  expect(seen?.headers).toMatchObject({
    "user-agent": "Prometheus/3",
    accept: "application/openmetrics-text; q=0.2; version=0.0.1,text/plain; q=0.1",
    "accept-encoding": "gzip",
  });
  expect(seen?.headers.authorization).toBeUndefined();
});

test("a packed answer is unpacked, a redirect on the same server followed, one to another is a failure", async () => {
  const other = await source("other 1\n");
  const port = await source((request, response) => {
    const to: Record<string, string> = {
      "/metrics": "/metrics/",
      "/away": `http://localhost:${other}/`,
      "/circle": "/circle",
    };
    const location = to[request.url ?? ""];
    if (location !== undefined) response.writeHead(301, { location }).end();
    else response.writeHead(200, { "Content-Encoding": "gzip" }).end(gzipSync("app_a 1\n"));
  });
  const ask = async (path: string) => {
    await using rig = await startRig({ targets: [{ port, path }] });
    return (await rig.call("/metrics")).text;
  };
  expect(await ask("/metrics")).toContain("\napp_a 1\n");
  for (const path of ["/away", "/circle"]) expect(await ask(path)).toContain('failures_total{type="application"} 1');
});

/** Envoy's and the applications' parts of an answer of these bodies. */
async function mergedBodies(envoy: string, ...applications: readonly (readonly [body: string, type?: string])[]) {
  const port = await source(envoy);
  const targets = targetsOf(await Promise.all(applications.map(([body, type]) => source(body, type))));
  await using rig = await startRig({ envoyStats: { host: "127.0.0.1", port }, targets });
  const { text, headers } = await rig.call("/stats/prometheus");
  if (hasPromtool && headers["content-type"] === TEXT)
    expect([0, LINT_ONLY]).toContain((await checkMetrics(text)).code);
  return text;
}

const declaring = (name: string, sample = `${name} 1`, type = "gauge") =>
  `# HELP ${name} Of it.\n# TYPE ${name} ${type}\n${sample}\n`;
const countOf = (text: string, line: RegExp) => text.match(line)?.length ?? 0;

test("status 63: a family that two sources have is declared once, by the first; no sample is lost", async () => {
  const envoy = declaring("shared", 'shared{of="envoy"} 1');
  const first = `${declaring("shared", 'shared{of="app"} 2')}${declaring("app_a")}`;
  const second = `app_b 1\n${declaring("shared", 'shared{of="other"} 3')}${declaring("app_a", 'app_a{x="y"} 2')}`;
  for (const applications of [[first], [first, second], [second, first]]) {
    const text = await mergedBodies(envoy, ...applications.map((body) => [body] as const));
    expect(countOf(text, /^# TYPE shared gauge$/gm)).toBe(1);
    expect(countOf(text, /^# HELP shared /gm)).toBe(1);
    expect(countOf(text, /^# TYPE app_a gauge$/gm)).toBe(1);
    expect(countOf(text, /^shared\{/gm)).toBe(1 + applications.length);
  }
});

test("a sample without a type is not declared later by another target", async () => {
  const text = await mergedBodies("", ["app_a 1\n"], [declaring("app_a", 'app_a{x="y"} 2')]);
  expect(text).toContain('app_a 1\napp_a{x="y"} 2\n');
});

test.each([
  ["declared", declaring("process_open_fds", "process_open_fds 7")],
  ["without a type", "process_open_fds 7\n"],
  ["after others", `${declaring("p")}process_open_fds 7\n${declaring("q")}`],
])("process_* is about the application where it has that, %s; the agent's has its prefix then", async (_how, body) => {
  const text = await mergedBodies(declaring("envoy_a"), [body]);
  expect(text).toMatch(/^process_open_fds 7$/m);
  expect(countOf(text, /^process_open_fds /gm)).toBe(1);
  expect(text).toMatch(/^istio_agent_process_open_fds \d+$/m);
  expect(text).toMatch(/^process_resident_memory_bytes \d/m); // which the application does not have
});

test("process_* of an application in OpenMetrics, whose counters are declared without their ending", async () => {
  const body =
    "# TYPE process_cpu_seconds counter\n# UNIT process_cpu_seconds seconds\nprocess_cpu_seconds_total 9\n# EOF\n";
  const text = await mergedBodies("", [body, OPEN_1]);
  expect(countOf(text, /^process_cpu_seconds_total /gm)).toBe(1);
  expect(text).toMatch(/^istio_agent_process_cpu_seconds_total [\d.]+$/m);
  expect(text.endsWith("\n# EOF\n")).toBe(true);
});

test("OpenMetrics beside text becomes text: names, types, times; no units, exemplars and end marks", async () => {
  const open = [
    '# HELP requests All \\"of\\" them.',
    "# TYPE requests counter",
    "# UNIT requests 1",
    'requests_total{path="/#} \\" # {"} 3 1520879607.789 # {trace_id="a"} 1 1520879607.1',
    "requests_created 1520430000.123",
    "# TYPE took_seconds histogram",
    "# UNIT took_seconds seconds",
    'took_seconds_bucket{le="1.0"} 2 # {trace_id="b"} 0.67',
    'took_seconds_bucket{le="+Inf"} 2 # {}  3 4',
    "took_seconds_sum 2.5",
    "took_seconds_count 2",
    "# TYPE build info",
    'build_info{version="1"} 1',
    "# TYPE odd unknown",
    "odd NaN 1520879607",
    "# TYPE state stateset",
    'state{state="a"} 1',
    "# TYPE sizes gaugehistogram",
    'sizes_bucket{le="+Inf"} 1',
    "sizes_gcount 1",
    "# TYPE silent gauge",
    "# EOF",
  ];
  const text = await mergedBodies("", ["app_a 1\n"], [open.join("\n"), OPEN_1]);
  const at = text.indexOf("app_a 1\n");
  expect(text.slice(at, text.indexOf("# HELP process_")).split("\n").slice(1, -1)).toEqual([
    '# HELP requests_total All "of" them.',
    "# TYPE requests_total counter",
    'requests_total{path="/#} \\" # {"} 3 1520879607789',
    "requests_created 1520430000.123",
    "# TYPE took_seconds histogram",
    'took_seconds_bucket{le="1.0"} 2',
    'took_seconds_bucket{le="+Inf"} 2',
    "took_seconds_sum 2.5",
    "took_seconds_count 2",
    "# TYPE build_info gauge",
    'build_info{version="1"} 1',
    "# TYPE odd untyped",
    "odd NaN 1520879607000",
    "# TYPE state gauge",
    'state{state="a"} 1',
    'sizes_bucket{le="+Inf"} 1',
    "sizes_gcount 1",
  ]);
});

test.each([
  ["*/*", "text/plain; q=0.1; version=0.0.4"],
  ["application/*", "application/openmetrics-text; q=0.1; version=0.0.1"],
  ["/", "text/plain;version=0.0.4"],
  ["", "text/plain;version=0.0.4"],
  ["application/vnd.google.protobuf;encoding=delimited", "text/plain;version=0.0.4"],
  [
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
    "application/openmetrics-text; q=0.3; version=1.0.0,application/openmetrics-text; q=0.2; version=0.0.1,text/plain; q=0.1; version=0.0.4",
  ],
])("Accept %s becomes %s for the application", (incoming, outgoing) => {
  expect(acceptForApplication(incoming)).toBe(outgoing);
});
