import { request } from "node:http";
import { createServer } from "node:net";
import { describe, expect, test } from "vitest";
import { healthServer, listen, startApp } from "../probes/rig.ts";
import { runtimes } from "../support/pilotboat.ts";
import { createSandbox } from "../support/sandbox.ts";

// The room's own tests have the details; here each kind of connection is seen to work on both runtimes.

describe.each(runtimes())("the application's probes on $name", (runtime) => {
  test("each kind of probe reaches the application, from the address that bypasses Envoy", async () => {
    const sources: (string | undefined)[] = [];
    const web = await startApp((call, response) => {
      sources.push(call.socket.remoteAddress);
      response.statusCode = call.url === "/down" ? 503 : 200;
      response.end(`${call.headers.host} ${call.headers["x-a"]}`);
    });
    const secure = await startApp((call, response) => response.end(`HTTP/${call.httpVersion}`), "h2", [
      "h2",
      "http/1.1",
    ]);
    const old = await startApp((call, response) => response.end(`HTTP/${call.httpVersion}`), "https");
    const tcp = await listen(createServer((socket) => void sources.push(socket.remoteAddress)));
    const grpc = await listen(healthServer((service) => (service === "down" ? 2 : 1)));
    const probe = (kind: string, port: number, more: object = {}) => ({ [kind]: { port, ...more }, timeoutSeconds: 5 });
    const table = {
      "/app-health/web/livez": probe("httpGet", web.port, { path: "/ok" }),
      "/app-health/web/readyz": probe("httpGet", web.port, { path: "/down" }),
      "/app-health/secure/livez": probe("httpGet", secure.port, { scheme: "HTTPS" }),
      "/app-health/old/livez": probe("httpGet", old.port, { scheme: "HTTPS" }),
      "/app-health/tcp/livez": probe("tcpSocket", tcp),
      "/app-health/closed/livez": probe("tcpSocket", 1),
      "/app-health/grpc/livez": probe("grpc", grpc),
      "/app-health/grpc/startupz": probe("grpc", grpc, { service: "down" }),
      "/app-lifecycle/web/prestopz": probe("httpGet", web.port, { path: "/bye" }),
    };
    await using sandbox = await createSandbox(runtime);
    await using _controlPlane = await sandbox.startControlPlane();
    const env = { DISABLE_ENVOY: "true", INSTANCE_IP: "127.0.0.1", ISTIO_KUBE_APP_PROBERS: JSON.stringify(table) };
    await using agent = await sandbox.startProxy({ env });
    const { status: port } = sandbox.ports;
    const ask = (path: string): Promise<string> =>
      new Promise((done, failed) => {
        const headers = { Host: `10.1.2.3:${port}`, "X-A": ["b", "c"], "User-Agent": "kube-probe/1.33" };
        const call = request({ host: "127.0.0.1", port, path, headers, agent: false }, (response) => {
          let text = "";
          response.setEncoding("utf8").on("data", (piece: string) => {
            text += piece;
          });
          response.on("end", () => done(`${response.statusCode} ${text}`.trim()));
        });
        call.on("error", failed).end();
      });
    await expect.poll(() => ask("/app-health/none/livez").catch(String), { timeout: 20_000 }).toMatch(/^400 /);
    const answers = await Promise.all(Object.keys(table).map(async (path) => [path, await ask(path)]));
    expect(Object.fromEntries(answers)).toEqual({
      "/app-health/web/livez": `200 10.1.2.3:${web.port} b, c`,
      "/app-health/web/readyz": `503 10.1.2.3:${web.port} b, c`,
      "/app-health/secure/livez": "200 HTTP/2.0",
      "/app-health/old/livez": "200 HTTP/1.1",
      "/app-health/tcp/livez": "200",
      "/app-health/closed/livez": "500",
      "/app-health/grpc/livez": "200",
      "/app-health/grpc/startupz": "500",
      "/app-lifecycle/web/prestopz": `200 10.1.2.3:${web.port} b, c`,
    });
    if (process.platform === "linux") expect(new Set(sources)).toEqual(new Set(["127.0.0.6"]));
    expect(await ask("/app-health/%zz/livez")).toMatch(/^400 /);
    expect(await ask("/app-health/we%62/livez")).toMatch(/^200 /);
    expect(await ask("/bad-path-should-be-404")).toMatch(/^404 /);
    agent.kill("SIGTERM");
    expect((await agent.ended).code).toBe(0);
    expect(agent.stdout()).toMatch(/error\tprobes\tRequest to probe app failed\t.*grpc\/startupz reason=.*NOT_SERVING/);
  });

  test("connections are kept where that is asked for", async () => {
    const ports = new Set<number | undefined>();
    let closesKept = false;
    const web = await startApp(({ socket }, response) => {
      if (closesKept && ports.has(socket.remotePort)) return socket.destroy(); // as if it had closed it meanwhile
      ports.add(socket.remotePort);
      response.end();
    });
    await using sandbox = await createSandbox(runtime);
    await using _controlPlane = await sandbox.startControlPlane();
    const table = JSON.stringify({ "/app-health/web/livez": { httpGet: { port: web.port }, timeoutSeconds: 5 } });
    const env = { ISTIO_KUBE_APP_PROBERS: table, ENABLE_PROBE_KEEPALIVE_CONNECTIONS: "true" };
    await using _agent = await sandbox.startProxy({ env: { DISABLE_ENVOY: "true", INSTANCE_IP: "127.0.0.1", ...env } });
    const ask = () =>
      fetch(`http://127.0.0.1:${sandbox.ports.status}/app-health/web/livez`).then(
        ({ status }) => status,
        () => 0,
      );
    await expect.poll(ask, { timeout: 20_000 }).toBe(200);
    expect([await ask(), await ask()]).toEqual([200, 200]);
    expect(ports.size).toBe(1);
    closesKept = true;
    expect(await ask()).toBe(200);
    expect(ports.size).toBe(2);
  });

  test("without a table every probe is 400, as one that the table does not have", async () => {
    await using sandbox = await createSandbox(runtime);
    await using _controlPlane = await sandbox.startControlPlane();
    await using _agent = await sandbox.startProxy({ env: { DISABLE_ENVOY: "true" } });
    const ask = (path: string): Promise<string> =>
      fetch(`http://127.0.0.1:${sandbox.ports.status}${path}`).then(
        async (answer) => `${answer.status} ${await answer.text()}`,
        () => "",
      );
    const wanted = "400 app prober config does not exists for /app-health/web/livez";
    await expect.poll(() => ask("/app-health/web/livez"), { timeout: 20_000 }).toBe(wanted);
    expect(await ask("/app-lifecycle/web/prestopz")).toMatch(/^400 /);
    expect(await ask("/app-healthy/web/livez")).toMatch(/^404 /);
  });

  test("a table that cannot be read is refused at the start, with what is wrong", async () => {
    await using sandbox = await createSandbox(runtime);
    await using _controlPlane = await sandbox.startControlPlane();
    const env = { DISABLE_ENVOY: "true", ISTIO_KUBE_APP_PROBERS: '{"/app-health/web/livez": {"exec": {}}}' };
    await using agent = await sandbox.startProxy({ env });
    expect((await agent.ended).code).toBe(2);
    expect(agent.stderr()).toContain(
      'ISTIO_KUBE_APP_PROBERS: "/app-health/web/livez": invalid prober type, must be one of type httpGet, tcpSocket or gRPC',
    );
  });
});
