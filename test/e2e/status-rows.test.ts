import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, request } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { createServer as createTcpServer } from "node:net";
import { networkInterfaces } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { healthServer, listen, startApp } from "../probes/rig.ts";
import { ask, listenOn, startVictim } from "../security/rig.ts";
import { run, runtimes, start } from "../support/pilotboat.ts";
import { createSandbox } from "../support/sandbox.ts";

// What the status port does, row by row, on both runtimes, with a fake in Envoy's place. The rooms' own tests have the details.

const TEXT = "text/plain; version=0.0.4; charset=utf-8";

function post(port: number, path: string, host = "127.0.0.1"): Promise<string> {
  return new Promise((done, failed) => {
    const call = request({ host, port, path, method: "POST", agent: false }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
      });
      answer.on("end", () => done(`${answer.statusCode} ${text}`));
    });
    call.on("error", failed).end();
  });
}

/** Takes the place of Envoy's own metrics, once the agent runs. */
async function serveEnvoyStats(port: number, answer: () => { status: number; body?: string }) {
  const seen: (string | undefined)[] = [];
  const server = createServer((call, response) => {
    seen.push(call.url);
    const { status, body } = answer();
    response.writeHead(status, { "Content-Type": "text/plain" }).end(body);
  });
  onTestFinished(() => void server.close());
  await listenOn(server, port);
  return seen;
}

const annotations = (port: number, more: object = {}) => ({
  ISTIO_PROMETHEUS_ANNOTATIONS: JSON.stringify({ scrape: "true", path: "/stats", port: String(port), ...more }),
});

const counted = (text: string, series: string): string =>
  text.split("\n").find((line) => line.startsWith(`istio_agent_${series} `)) ?? "";

/** How many connections from 127.0.0.6 the kernel has, by state. Source: Linux include/net/tcp_states.h. */
async function probeSockets(): Promise<Readonly<Record<"open" | "waiting", number>>> {
  const states = [...(await readFile("/proc/net/tcp", "utf8")).matchAll(/^ *\d+: 0600007F:\w+ \w+:\w+ (\w\w) /gm)];
  const waiting = states.filter(([, state]) => state === "06").length; // TIME_WAIT
  return { open: states.length - waiting, waiting };
}

describe.each(runtimes())("the status port on $name", (runtime) => {
  test("status 37: status 61: status 62: status 65: status 66: status 67: status 75: what a scrape gives, and asks for", async () => {
    let behave: (call: IncomingMessage) => { readonly type?: string; readonly body: string; readonly status?: number };
    const answer = (type: string, body = "app_a 2\n") => {
      behave = () => ({ type, body });
    };
    const app = await startApp((call, response) => {
      const { type = "", body, status = 200 } = behave(call);
      response.writeHead(status, type === "" ? {} : { "Content-Type": type }).end(body);
    });
    // row 75: the listed target counts, and the port above it is nobody's
    const targets = [{ port: String(app.port), path: "/listed?a=b" }];
    await using victim = await startVictim(runtime, { env: annotations(9, { targets }) });
    let envoy: { status: number; body?: string } = { status: 500 };
    const asked = await serveEnvoyStats(victim.sandbox.ports.prometheus, () => envoy);
    behave = () => ({ status: 500, body: "no" });
    const scrape = (headers: Record<string, string> = {}) => victim.ask("/stats/prometheus?filter=x", headers);

    const failed = await scrape(); // row 61
    expect([failed.status, failed.headers["content-type"]]).toEqual([200, TEXT]);
    expect(counted(failed.text, 'scrape_failures_total{type="envoy"}')).toMatch(/ 1$/);
    expect(counted(failed.text, 'scrape_failures_total{type="application"}')).toMatch(/ 1$/);
    expect(app.seen[0]?.url).toBe("/listed?a=b");
    expect(asked).toEqual(["/stats/prometheus?filter=x"]);

    envoy = { status: 200, body: "envoy_a 1" };
    answer("text/plain");
    expect((await scrape()).text).toContain("\nenvoy_a 1\napp_a 2\n"); // row 62

    const OPEN = "application/openmetrics-text";
    for (const [type, wanted] of [
      [`${OPEN}; version=0.0.1`, `${OPEN}; version=0.0.1; charset=utf-8`],
      [`${OPEN}; version=1.0.0; charset=utf-8`, `${OPEN}; version=1.0.0; charset=utf-8`],
      [OPEN, `${OPEN}; version=0.0.1; charset=utf-8`],
      ["text/plain; version=0.0.4", TEXT],
      ["", TEXT],
    ] as const) {
      answer(type, "# TYPE app_a unknown\napp_a 2\n# EOF\n");
      const { headers, text } = await scrape(); // row 67
      expect([type, headers["content-type"], text.endsWith("\n# EOF\n")]).toEqual([type, wanted, wanted !== TEXT]);
    }
    for (const [accept, wanted] of [
      ["*/*", "text/plain; q=0.1; version=0.0.4"],
      ["application/*", `${OPEN}; q=0.1; version=0.0.1`],
      ["/", "text/plain;version=0.0.4"],
      [
        `${OPEN};version=1.0.0,${OPEN};version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1`,
        new RegExp(`^${OPEN}; q=0.3; version=1.0.0,`),
      ],
    ] as const) {
      await scrape({ Accept: accept }); // rows 65 and 66
      expect(app.seen.at(-1)?.headers.accept).toMatch(wanted);
    }

    answer("text/plain", "app_a 2\n".repeat(250_000));
    const hasZstd = (await scrape({ "Accept-Encoding": "zstd" })).headers["content-encoding"] === "zstd";
    expect(hasZstd || runtime.name.includes("Node")).toBe(true);
    const best = hasZstd ? "zstd" : "gzip";
    for (const [accepted, wanted] of [
      ["gzip", "gzip"],
      ["gzip, zstd", best],
      ["deflate, gzip;q=1.0, zstd;q=0.5", "gzip"],
      ["br, lz4", undefined],
    ] as const) {
      const { headers } = await scrape({ "Accept-Encoding": accepted }); // row 37
      expect([accepted, headers["content-encoding"], headers.vary]).toEqual([accepted, wanted, "Accept-Encoding"]);
    }
  }, 60_000);

  test("a slow application costs nothing beyond the scraper's limit; Envoy's metrics stay away where they are not merged", async () => {
    const port = await listen(createTcpServer());
    const env = { ...annotations(port), PILOT_AGENT_MERGE_ENVOY_STATS: "false" };
    await using victim = await startVictim(runtime, { env });
    const asked = await serveEnvoyStats(victim.sandbox.ports.prometheus, () => ({ status: 200, body: "envoy_a 1\n" }));
    const startMs = performance.now();
    const { text } = await victim.ask("/metrics", { "X-Prometheus-Scrape-Timeout-Seconds": "0.5" });
    expect(performance.now() - startMs).toBeLessThan(4_000); // 9 s without the header
    expect(counted(text, 'scrape_failures_total{type="application"}')).toMatch(/ 1$/);
    expect(text).not.toContain("envoy");
    expect(asked).toEqual([]);
    const odd = victim.ask("/metrics", { "X-Prometheus-Scrape-Timeout-Seconds": "soon" });
    await victim.agent.waitFor(/warn\tfailed to parse scrape timeout\theader=soon/);
    victim.agent.kill("SIGKILL"); // which would wait 9 s
    await odd.catch(() => undefined);
  });

  test("status 79: metrics for this machine only", async ({ skip }) => {
    const other = Object.values(networkInterfaces())
      .flat()
      .find((one) => one?.family === "IPv4" && !one.internal)?.address;
    await using victim = await startVictim(runtime, { env: { METRICS_LOCALHOST_ACCESS_ONLY: "true" } });
    expect((await victim.ask("/metrics")).status).toBe(200);
    skip(other === undefined, "this machine has only loopback addresses to come from");
    const answer = await fetch(`http://${other}:${victim.sandbox.ports.status}/metrics`);
    expect([answer.status, await answer.text()]).toEqual([403, "Only requests from localhost are allowed\n"]);
    expect((await fetch(`http://${other}:${victim.sandbox.ports.status}/healthz/ready`)).status).toBe(200);
    expect(counted((await victim.ask("/metrics")).text, "scrapes_total")).toMatch(/ 2$/);
  });

  test("status 6: status 7: status 36: status 38: /drain, its answer and what is left; then SIGTERM drains no more", async () => {
    await using victim = await startVictim(runtime, {
      env: { FAKE_ENVOY_CALLS: "calls" },
      proxyConfig: { terminationDrainDuration: "30s" },
    });
    const { sandbox, agent } = victim;
    const calls = async () => {
      const lines = (await readFile(join(sandbox.folder, "calls"), "utf8")).split("\n");
      return lines.filter((line) => line.startsWith("POST /drain"));
    };
    const words = (await victim.ask("/debug/pprof/cmdline")).text.split("\0");
    expect(words).toEqual([...runtime.command, "proxy", "sidecar"].map((word) => expect.stringContaining(word)));
    const table = await victim.ask("/debug/ndsz");
    expect([table.status, table.text]).toEqual([404, "{}"]);
    expect(await post(sandbox.ports.status, "/drain")).toBe("200 OK");
    expect(await calls()).toEqual(["POST /drain_listeners?inboundonly&graceful&skip_exit"]);
    expect((await victim.ask("/healthz/ready")).status).toBe(200);
    const startMs = performance.now();
    agent.kill("SIGTERM");
    expect((await agent.ended).code).toBe(0);
    expect(performance.now() - startMs).toBeLessThan(10_000); // not the 30 s of a drain
    expect(await calls()).toHaveLength(1);
  });

  test.each(["127.0.0.1", "::1"])("status 33: POST /quitquitquit from %s", async (host) => {
    await using victim = await startVictim(runtime, { proxyConfig: { terminationDrainDuration: "30s" } });
    expect(await post(victim.sandbox.ports.status, "/quitquitquit", host)).toBe("200 OK");
    expect((await victim.agent.ended).code).toBe(0);
    expect(victim.agent.stdout()).toContain("quitquitquit called");
  });

  test("while it drains: probes and hooks are passed on, metrics are there, readiness is 503, and quit ends it at once", async () => {
    const app = await startApp((_, response) => response.end("here"));
    const http = { httpGet: { port: app.port, path: "/x" }, timeoutSeconds: 5 };
    const table = { "/app-health/web/livez": http, "/app-lifecycle/web/prestopz": http };
    await using victim = await startVictim(runtime, {
      env: { ISTIO_KUBE_APP_PROBERS: JSON.stringify(table), INSTANCE_IP: "127.0.0.1" },
      proxyConfig: { terminationDrainDuration: "50s" },
    });
    victim.agent.kill("SIGTERM");
    await expect.poll(async () => (await victim.ask("/healthz/ready")).status).toBe(503);
    expect((await victim.ask("/healthz/ready")).text).toMatch(/^server is terminated: /);
    for (const path of Object.keys(table)) expect((await victim.ask(path)).text).toBe("here");
    expect((await victim.ask("/stats/prometheus")).text).toContain("istio_agent_scrapes_total 1\n");
    expect(await post(victim.sandbox.ports.status, "/quitquitquit")).toBe("200 OK");
    expect((await victim.agent.ended).code).toBe(0);
  });

  test("status 80: a router scrapes no application, whatever the annotations say; its versions by run folder", async () => {
    await using sandbox = await createSandbox(runtime);
    await using _plane = await sandbox.startControlPlane();
    const env = await sandbox.proxyEnvironment({
      proxyConfig: { binaryPath: resolve("test/fixtures/fake-envoy") },
      env: { ISTIO_PROMETHEUS_ANNOTATIONS: "nonsense" },
    });
    await using agent = start(runtime, ["proxy", "router"], { cwd: sandbox.folder, env });
    await agent.waitFor(/Readiness succeeded/);
    const { text } = await ask(sandbox.ports.status, "/metrics");
    expect(text).toContain("istio_agent_scrapes_total 1\n");
    expect(text).not.toContain('type="application"');
    const { code, stdout } = await run(runtime, ["version", "--run-folder", sandbox.folder]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^pilotboat +\d+\.\d+\.\d+\n(Node|Bun) +\S+\nEnvoy +1\.38\.3\n/);
  });

  test("a server of HTTP/2 without TLS is no HTTP probe's; a probe's connection is closed when it has its answer, in order", async () => {
    const h2c = createHttp2Server((_, response) => response.end("h2c"));
    let resets = 0;
    const tcpServer = createTcpServer((socket) => socket.on("error", () => void resets++));
    const [h2cPort, tcp, grpc] = [
      await listen(h2c as never),
      await listen(tcpServer),
      await listen(healthServer(() => 1)),
    ];
    const app = await startApp((_, response) => response.end("here"));
    const secure = await startApp((call, response) => response.end(call.httpVersion), "h2", ["h2", "http/1.1"]);
    const table = {
      "/app-health/h2c/livez": { httpGet: { port: h2cPort }, timeoutSeconds: 2 },
      "/app-health/tcp/livez": { tcpSocket: { port: tcp }, timeoutSeconds: 5 },
      "/app-health/grpc/livez": { grpc: { port: grpc }, timeoutSeconds: 5 },
      "/app-health/web/livez": { httpGet: { port: app.port }, timeoutSeconds: 5 },
      "/app-health/secure/livez": { httpGet: { port: secure.port, scheme: "HTTPS" }, timeoutSeconds: 5 },
    };
    await using victim = await startVictim(runtime, {
      env: { ISTIO_KUBE_APP_PROBERS: JSON.stringify(table), INSTANCE_IP: "127.0.0.1" },
    });
    expect((await victim.ask("/app-health/h2c/livez")).status).toBe(500);
    expect((await victim.ask("/app-health/secure/livez")).text).toBe("2.0");
    const before = await probeSockets();
    for (const kind of ["tcp", "grpc", "web", "secure"]) {
      for (let count = 0; count < 10; count++) expect((await victim.ask(`/app-health/${kind}/livez`)).status).toBe(200);
    }
    await expect.poll(async () => (await probeSockets()).open).toBe(before.open);
    expect(resets).toBe(0); // which an application may not survive
    expect((await probeSockets()).waiting - before.waiting).toBeLessThanOrEqual(40); // at most one for each, as any client that closes
  });
});
