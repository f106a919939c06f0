import { createServer as createHttp2Server } from "node:http2";
import { createServer, type Server } from "node:net";
import { expect, test } from "vitest";
import { askWorkload, type Workload } from "../../src/health/ask-workload.ts";
import { healthServer, listen, startApp } from "../probes/rig.ts";
import { freePorts } from "../support/ports.ts";
import { HERE, probeOf } from "./rig.ts";

const never = new AbortController().signal;

/** `healthy`, or the result and its reason. */
async function ask(
  readinessProbe: object,
  { timeoutMs = 3_000, ...workload }: Partial<Workload> & { timeoutMs?: number } = {},
): Promise<string> {
  const answer = await askWorkload(probeOf(readinessProbe, { timeoutMs }), { ...HERE, ...workload }, never);
  return answer.result === "healthy" ? "healthy" : `${answer.result}: ${answer.reason}`;
}

test("HTTP: from 200 to 399 is healthy, anything else is not", async () => {
  let status = 200;
  const app = await startApp((_, response) => void response.writeHead(status).end());
  const answers: Record<number, string> = {};
  for (status of [200, 204, 302, 399, 400, 404, 500, 503]) answers[status] = await ask({ httpGet: { port: app.port } });
  const bad = (code: number) => `unhealthy: status code was not from [200,400), bad code ${code}`;
  const good = { 200: "healthy", 204: "healthy", 302: "healthy", 399: "healthy" };
  expect(answers).toEqual({ ...good, 400: bad(400), 404: bad(404), 500: bad(500), 503: bad(503) });
  const [nobody = 0] = await freePorts(1);
  expect(await ask({ httpGet: { port: nobody } })).toMatch(/^unhealthy: .*ECONNREFUSED/);
});

test("HTTP: what is sent, and from where", async () => {
  const sources: (string | undefined)[] = [];
  const app = await startApp(({ socket }, response) => {
    sources.push(socket.remoteAddress);
    response.end();
  });
  await ask({ httpGet: { port: app.port } });
  const httpHeaders = [
    { name: "Host", value: "my.app" },
    { name: "X-A", value: "1" },
    { name: "x-a", value: "2" },
    { name: "user-agent", value: "mine" },
    { name: "Content-Length", value: "77" },
    { name: "constructor", value: "c" },
  ];
  await ask({ httpGet: { port: app.port, host: "localhost", path: "ready?full=1#x", httpHeaders } });
  await ask({ httpGet: { port: app.port, path: "http://elsewhere.example/p?q" } });
  const [plain, told, whole] = app.seen;
  expect([plain?.method, plain?.url, plain?.headers]).toEqual([
    ...["GET", "/"],
    { host: `127.0.0.1:${app.port}`, "user-agent": "istio-probe/1.0", connection: "close" },
  ]);
  expect([told?.url, told?.headers]).toEqual([
    "/ready?full=1",
    { host: "my.app", "user-agent": "mine", "x-a": "1, 2", constructor: "c", connection: "close" },
  ]);
  expect([whole?.url, whole?.headers.host]).toEqual(["/p?q", `127.0.0.1:${app.port}`]);
  expect(sources).toEqual(["127.0.0.6", "127.0.0.6", "127.0.0.6"]);
});

test("HTTP: a path that is none is unknown, and nobody is asked; a header that is none is unhealthy", async () => {
  const app = await startApp((_, response) => void response.end());
  expect(await ask({ httpGet: { port: app.port, path: "/%zz" } })).toBe(
    'unknown: parse "/%zz": invalid URL escape "%zz"',
  );
  expect(await ask({ httpGet: { port: app.port, path: "/\n" } })).toBe(
    'unknown: parse "/\\n": invalid control character in URL',
  );
  expect(await ask({ httpGet: { port: app.port, httpHeaders: [{ name: "a b", value: "c" }] } })).toMatch(
    /^unhealthy: .*a b/,
  );
  expect(app.seen).toEqual([]);
});

test("HTTP: redirects are followed, also to another host, which gets no credentials; ten at most", async () => {
  const there = await startApp((_, response) => void response.writeHead(500).end());
  const app = await startApp((call, response) => {
    const location = call.url === "/away" ? `http://localhost:${there.port}/x` : "/again";
    response.writeHead(302, { location }).end();
  });
  const httpHeaders = [
    { name: "Authorization", value: "secret" },
    { name: "X-A", value: "kept" },
  ];
  expect(await ask({ httpGet: { port: app.port, path: "/away", httpHeaders } })).toContain("bad code 500");
  const { host, authorization, "x-a": kept } = there.seen[0]?.headers ?? {};
  expect([host, authorization, kept]).toEqual([`localhost:${there.port}`, undefined, "kept"]);
  expect(await ask({ httpGet: { port: app.port } })).toBe("unhealthy: stopped after 10 redirects");
  expect(app.seen).toHaveLength(11);
});

test("HTTPS: the scheme in any case, and a certificate that nobody knows", async () => {
  const app = await startApp((_, response) => void response.end(), "https");
  for (const scheme of ["HTTPS", "https"]) expect(await ask({ httpGet: { port: app.port, scheme } })).toBe("healthy");
  expect(app.seen[0]?.httpVersion).toBe("1.1");
  expect(await ask({ httpGet: { port: app.port } })).toMatch(/^unhealthy/); // plain HTTP
});

test("a workload that does not answer is unhealthy after the timeout, over HTTP and TLS; a body that never ends is no matter", async () => {
  const mute = await listen(createServer());
  const endless = await startApp((_, response) => void response.write("for ever"));
  const late = "unhealthy: no answer within 0.2 s";
  expect(await ask({ httpGet: { port: mute } }, { timeoutMs: 200 })).toBe(late);
  expect(await ask({ httpGet: { port: mute, scheme: "HTTPS" } }, { timeoutMs: 200 })).toBe(late);
  expect(await ask({ httpGet: { port: endless.port } })).toBe("healthy");
});

test("TCP: a connection is enough, from any address, to the host of the probe or the proxy's", async () => {
  const sources: (string | undefined)[] = [];
  const port = await listen(createServer((socket) => sources.push(socket.remoteAddress)));
  expect(await ask({ tcpSocket: { port } })).toBe("healthy");
  expect(await ask({ tcpSocket: { port, host: "localhost" } }, { defaultHost: "192.0.2.1" })).toBe("healthy");
  await expect.poll(() => sources).toEqual(["127.0.0.1", "127.0.0.1"]);
  const [nobody = 0] = await freePorts(1);
  expect(await ask({ tcpSocket: { port: nobody } })).toMatch(/^unhealthy: .*ECONNREFUSED/);
  const six = await listen(createServer(), "::1");
  for (const host of ["::1", "[::1]"]) expect(await ask({ tcpSocket: { port: six, host } })).toBe("healthy");
});

test("gRPC: SERVING is healthy; the reasons of the others are the reference's", async () => {
  const agents: string[] = [];
  const states: Record<string, number | { code: number }> = {
    ...{ "": 1, down: 2, odd: 0, gone: 3, none: { code: 12 }, lost: { code: 5 }, left: { code: 1 } },
  };
  const port = await listen(
    healthServer((service, agent) => {
      agents.push(agent);
      return states[service] ?? 3;
    }),
  );
  const grpc = (service: string) => ask({ grpc: { port, service } });
  expect(await ask({ grpc: { port } })).toBe("healthy");
  expect(await grpc("down")).toBe("unhealthy: service status NOT_SERVING");
  expect(await grpc("odd")).toBe("unhealthy: service status UNKNOWN");
  expect(await grpc("gone")).toBe("unhealthy: service status SERVICE_UNKNOWN");
  expect(await grpc("none")).toMatch(
    `unhealthy: service on port ${port} doesn't implement the grpc health protocol grpc.health.v1.Health: rpc error: code = Unimplemented desc = `,
  );
  expect(await grpc("lost")).toMatch(
    "unhealthy: health rpc probe failed with status NotFound: rpc error: code = NotFound desc = ",
  );
  expect(await grpc("left")).toMatch("status Canceled: rpc error: code = Canceled");
  expect(agents[0]).toMatch(/^istio-probe\/1\.0 /);
});

test("gRPC: a server that is not there, or speaks no HTTP/2, is tried until the timeout; one that is silent has its own words", async () => {
  const [nobody = 0] = await freePorts(1);
  const failed = (port: number) =>
    `unhealthy: failed to connect health check grpc service on port ${port}: context deadline exceeded`;
  expect(await ask({ grpc: { port: nobody } }, { timeoutMs: 300 })).toMatch(
    new RegExp(`^${failed(nobody)}; last: .*ECONNREFUSED`),
  );
  let connections = 0;
  const deaf = await listen(
    createServer((socket) => {
      connections++;
      socket.on("error", () => undefined).end("HTTP/1.1 400 Bad Request\r\n\r\n");
    }),
  );
  expect(await ask({ grpc: { port: deaf } }, { timeoutMs: 900 })).toContain(failed(deaf));
  expect(connections).toBeGreaterThan(1);
  const mute = await listen(createServer());
  expect(await ask({ grpc: { port: mute } }, { timeoutMs: 200 })).toBe(failed(mute));
  const held = await listen(createHttp2Server() as unknown as Server);
  expect(await ask({ grpc: { port: held } }, { timeoutMs: 500 })).toBe(
    "unhealthy: health rpc probe timed out after 0.5s: rpc error: code = DeadlineExceeded desc = context deadline exceeded",
  );
});

test("gRPC: a server that comes up within the timeout is healthy", async () => {
  const [port = 0] = await freePorts(1);
  const asking = ask({ grpc: { port } }, { timeoutMs: 5_000 });
  const server = healthServer(() => 1);
  await new Promise<void>((done) => server.listen(port, "127.0.0.1", done));
  expect(await asking).toBe("healthy");
  server.close();
});

test("Envoy comes first, and decides", async () => {
  const app = await startApp((_, response) => void response.end());
  let reason: string | undefined =
    "config not received from XDS server (is Istiod running?): cds updates: 0 successful";
  const whyEnvoyNotReady = async () => reason;
  expect(await ask({ httpGet: { port: app.port } }, { whyEnvoyNotReady })).toBe(`unhealthy: ${reason}`);
  expect(app.seen).toEqual([]);
  reason = undefined;
  expect(await ask({ httpGet: { port: app.port } }, { whyEnvoyNotReady })).toBe("healthy");
  const broken = async () => {
    throw new Error("Envoy's admin API: connect ECONNREFUSED");
  };
  expect(await ask({ httpGet: { port: app.port } }, { whyEnvoyNotReady: broken })).toBe(
    "unhealthy: Envoy's admin API: connect ECONNREFUSED",
  );
});
