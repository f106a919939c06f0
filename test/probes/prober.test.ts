import { createServer as createTcpServer } from "node:net";
import { expect, test } from "vitest";
import { freePorts } from "../support/ports.ts";
import { healthServer, listen, rig, STATUS_PORT, startApp } from "./rig.ts";

const http = (port: number, more: object = {}) => ({ httpGet: { port, path: "/ok", ...more }, timeoutSeconds: 5 });

test("every status of the application is the answer, with its body; a redirect that leads nowhere is 200", async () => {
  const app = await startApp(({ url = "" }, response) => {
    response.statusCode = Number(url.slice(1));
    response.end(`body ${url}`);
  });
  for (let status = 200; status <= 511; status++) {
    const hasBody = ![204, 304].includes(status);
    const { ask } = rig(http(app.port, { path: `/${status}` }));
    const answer = await ask();
    if (status >= 300 && status < 400) expect(answer).toEqual({ status: 200, body: "" });
    else expect([answer.status, String(answer.body)]).toEqual([status, hasBody ? `body /${status}` : ""]);
  }
});

test("the kubelet's headers arrive with all their values, those of the definition do not; Host names the application's port", async () => {
  const app = await startApp((_, response) => response.end());
  const { ask } = rig(http(app.port, { httpHeaders: [{ name: "X-Definition", value: "v" }] }));
  const headers = [
    "Host",
    `10.0.0.1:${STATUS_PORT}`,
    "Some-Header",
    "one",
    "Some-Header",
    "two",
    "Connection",
    "keep-alive",
  ];
  await ask({ headers });
  await ask({ headers: ["Host", "test.com:9999"] });
  await ask({ headers: ["Host", "test.com"] });
  await ask();
  const [first, ...others] = app.seen;
  expect(first?.rawHeaders.filter((_, at, all) => /some-header/i.test(all[at % 2 === 0 ? at : at - 1] ?? ""))).toEqual(
    expect.arrayContaining(["one", "two"]),
  );
  expect(first?.headers).toEqual({ host: `10.0.0.1:${app.port}`, "some-header": "one, two", connection: "close" });
  expect(others.map((one) => one.headers.host)).toEqual(["test.com:9999", "test.com", `127.0.0.1:${app.port}`]);
  expect(app.seen.every((one) => one.method === "GET" && one.url === "/ok")).toBe(true);
});

test("a redirect on the same host is followed, one to another host never; a circle ends", async () => {
  const [nobody = 0] = await freePorts(1);
  const app = await startApp(({ url, headers }, response) => {
    const to: Record<string, string> = {
      "/relative": "/",
      "/absolute": `http://127.0.0.1:${app.port}/`,
      "/circle": "/circle",
      "/away": `http://localhost:${nobody}/`,
      "/odd": "mailto:somebody",
    };
    const location = to[url ?? ""];
    if (location === undefined) response.end(`home of ${headers.host}`);
    else response.writeHead(302, { location }).end("moved");
  });
  const ask = (path: string) => rig(http(app.port, { path })).ask({ headers: ["Host", "my.app"] });
  expect(String((await ask("/relative")).body)).toBe("home of my.app");
  expect(String((await ask("/absolute")).body)).toBe(`home of 127.0.0.1:${app.port}`);
  expect(await ask("/away")).toEqual({ status: 200, body: "" });
  expect(await ask("/odd")).toEqual({ status: 200, body: "" });
  const before = app.seen.length;
  expect(await ask("/circle")).toEqual({ status: 500, body: "" });
  expect(app.seen.length - before).toBe(10);
});

test.each(["http", "https", "h2"] as const)(
  "an application over %s that closes without an answer is told as such",
  async (form) => {
    const app = await startApp(({ socket }) => void socket.destroy(), form, form === "h2" ? ["h2"] : undefined);
    const scheme = form === "http" ? {} : { scheme: "HTTPS" };
    const { ask, log } = rig({ httpGet: { port: app.port, ...scheme }, timeoutSeconds: 30 });
    expect(await ask()).toEqual({ status: 500, body: "" });
    expect(log[0]).toMatch(/closed|hang up|ECONNRESET/);
    expect(log[0]).not.toContain("within 30000 ms");
  },
);

test("odd names of headers and a timeout beyond every timer are no fault", async () => {
  const app = await startApp((_, response) => response.end("fine"));
  const { ask } = rig({ httpGet: { port: app.port }, timeoutSeconds: 2_147_483 });
  expect(String((await ask({ headers: ["constructor", "a", "__proto__", "b"] })).body)).toBe("fine");
});

test("of a body 10 KiB are passed on", async () => {
  const app = await startApp((_, response) => response.end(Buffer.alloc(20_000, "x")));
  const { body } = await rig(http(app.port)).ask();
  expect(body).toHaveLength(10_240);
});

test.each([
  ["https", undefined, "1.1"],
  ["https", ["http/1.1"], "1.1"],
  ["h2", ["h2"], "2.0"],
  ["h2", ["h2", "http/1.1"], "2.0"],
] as const)("TLS of %s with ALPN %s, and a certificate of nobody: HTTP/%s", async (form, alpn, version) => {
  const app = await startApp((_, response) => response.end("secure"), form, alpn && [...alpn]);
  const answer = await rig(http(app.port, { scheme: "HTTPS" })).ask({ headers: ["Host", "my.app", "X-A", "b"] });
  expect([answer.status, String(answer.body)]).toEqual([200, "secure"]);
  expect(app.seen[0]?.httpVersion).toBe(version);
  expect(app.seen[0]?.headers["x-a"]).toBe("b");
});

test("a server that speaks neither, and HTTP/2 that is not offered", async () => {
  const other = await startApp((_, response) => response.end(), "https", ["foo"]);
  expect(await rig(http(other.port, { scheme: "HTTPS" })).ask()).toEqual({ status: 500, body: "" });
  const both = await startApp((_, response) => response.end(), "h2", ["h2", "http/1.1"]);
  await rig(http(both.port, { scheme: "HTTPS" }), { offersHttp2: false }).ask();
  expect(both.seen[0]?.httpVersion).toBe("1.1");
});

test("what fails is 500 and a line of the log, once until it changes", async () => {
  const [nobody = 0] = await freePorts(1);
  const { ask, log } = rig(http(nobody));
  expect([await ask(), await ask()]).toEqual([
    { status: 500, body: "" },
    { status: 500, body: "" },
  ]);
  expect(log).toHaveLength(1);
  expect(log[0]).toMatch(
    /error\tprobes\tRequest to probe app failed\tpath=\/app-health\/web\/readyz reason=.*ECONNREFUSED/,
  );
  const silent = await startApp(() => undefined);
  const slow = rig({ httpGet: { port: silent.port }, timeoutSeconds: 1 });
  expect(await slow.ask()).toEqual({ status: 500, body: "" });
  expect(slow.log[0]).toContain("no answer within 1000 ms");
  expect(await rig({ httpGet: { port: 70_000 }, timeoutSeconds: 1 }).ask()).toEqual({ status: 500, body: "" });
});

test("a probe that nobody configured is 400", async () => {
  const { ask } = rig(http(1));
  expect(await ask({ path: "/app-health/none/livez" })).toEqual({
    status: 400,
    body: "app prober config does not exists for /app-health/none/livez",
  });
});

test("a caller that leaves ends the probe, also one without a limit, and the log is silent", async () => {
  const silent = await startApp(() => undefined);
  const gone = new AbortController();
  const { ask, log } = rig({ httpGet: { port: silent.port } });
  const asking = ask({ gone: gone.signal });
  await expect.poll(() => silent.seen.length).toBe(1);
  gone.abort(new Error("left"));
  expect(await asking).toEqual({ status: 500, body: "" });
  expect(log).toEqual([]);
  await expect.poll(() => silent.seen[0]?.socket.destroyed).toBe(true);
});

test("connections come from 127.0.0.6, or from any address where the kernel does not have that", async () => {
  const sources: (string | undefined)[] = [];
  const port = await listen(createTcpServer((socket) => sources.push(socket.remoteAddress)));
  const probe = { tcpSocket: { port }, timeoutSeconds: 1 };
  expect(await rig(probe).ask()).toEqual({ status: 200, body: "" });
  expect(await rig(probe, { source: "192.0.2.1" }).ask()).toEqual({ status: 200, body: "" });
  await expect.poll(() => sources).toEqual(["127.0.0.6", "127.0.0.1"]);
  const [nobody = 0] = await freePorts(1);
  expect(await rig({ tcpSocket: { port: nobody } }).ask()).toEqual({ status: 500, body: "" });
});

test("IPv6: the pod's address without brackets", async () => {
  const port = await listen(createTcpServer(), "::1");
  expect(await rig({ tcpSocket: { port } }, { host: "::1", source: "::6" }).ask()).toMatchObject({ status: 200 });
  expect(await rig({ tcpSocket: { port } }, { host: "[::1]", source: "::6" }).ask()).toMatchObject({ status: 500 });
});

test("connections are kept where that is asked for", async () => {
  const app = await startApp((_, response) => response.end("kept"));
  const { ask } = rig(http(app.port), { keepsAlive: true });
  for (let count = 0; count < 3; count++) expect(String((await ask()).body)).toBe("kept");
  expect(new Set(app.seen.map(({ socket }) => socket.remotePort)).size).toBe(1);
  expect(app.seen[0]?.socket.remoteAddress).toBe("127.0.0.6");
});

test("where connections are kept, a server of HTTP/2 is spoken to in that, over new ones; one that has HTTP/1.1 alone keeps its own", async () => {
  const asked = async (form: "https" | "h2", alpn?: string[]) => {
    const app = await startApp((call, response) => response.end(call.httpVersion), form, alpn);
    const { ask } = rig(http(app.port, { scheme: "HTTPS" }), { keepsAlive: true });
    const versions: string[] = [];
    for (let count = 0; count < 4; count++) versions.push(String((await ask()).body));
    return { versions: new Set(versions), connections: new Set(app.seen.map(({ socket }) => socket.remotePort)).size };
  };
  expect((await asked("h2", ["h2"])).versions).toEqual(new Set(["2.0"]));
  expect((await asked("h2", ["h2", "http/1.1"])).versions).toEqual(new Set(["2.0"]));
  expect(await asked("https")).toEqual({ versions: new Set(["1.1"]), connections: 2 }); // the first asks for its protocols
});

test.each(["http", "https"] as const)(
  "a kept connection over %s that the application has closed meanwhile is no failure; one that closes every time is",
  async (form) => {
    const used = new Set<number | undefined>();
    let isMute = false;
    const app = await startApp(({ socket }, response) => {
      if (isMute || used.has(socket.remotePort)) return void socket.destroy();
      used.add(socket.remotePort);
      response.end("kept");
    }, form);
    const scheme = form === "http" ? {} : { scheme: "HTTPS" };
    const { ask } = rig(http(app.port, scheme), { keepsAlive: true });
    for (let count = 1; count <= 3; count++) {
      expect(String((await ask()).body)).toBe("kept");
      expect(used.size).toBe(count);
    }
    isMute = true;
    expect(await ask()).toEqual({ status: 500, body: "" });
  },
);

test("kept connections, too, are made from elsewhere where the machine has not the address that bypasses Envoy", async () => {
  const app = await startApp((_, response) => response.end("kept"));
  const { ask } = rig(http(app.port), { keepsAlive: true, source: "192.0.2.1" });
  expect(String((await ask()).body)).toBe("kept");
  expect(app.seen[0]?.socket.remoteAddress).toBe("127.0.0.1");
});

test("gRPC: SERVING is 200, everything else 500 with what it is", async () => {
  const agents: string[] = [];
  const states: Record<string, number | { code: number }> = {
    "": 1,
    down: 2,
    odd: 0,
    gone: 3,
    none: { code: 12 },
    slow: { code: 4 },
  };
  const port = await listen(
    healthServer((service, userAgent) => {
      agents.push(userAgent);
      return states[service] ?? 3;
    }),
  );
  const ask = async (service: string | null) => {
    const { ask: askOne, log } = rig({ grpc: { port, service }, timeoutSeconds: 5 });
    const { status } = await askOne({ headers: ["User-Agent", "kube-probe/1.33"] });
    return [status, log.join("")];
  };
  expect(await ask(null)).toEqual([200, ""]);
  expect(await ask("down")).toEqual([500, expect.stringContaining("the application's health is NOT_SERVING")]);
  expect(await ask("odd")).toEqual([500, expect.stringContaining("health is UNKNOWN")]);
  expect(await ask("gone")).toEqual([500, expect.stringContaining("health is SERVICE_UNKNOWN")]);
  expect(await ask("none")).toEqual([500, expect.stringContaining("does not implement the gRPC health protocol")]);
  expect(await ask("slow")).toEqual([500, expect.stringContaining("gRPC status 4")]);
  expect(new Set(agents)).toEqual(new Set(["kube-probe/1.33 pilotboat"]));
});

test("gRPC: a closed port is asked again until the limit; a server of another protocol is no crash", async () => {
  const [nobody = 0] = await freePorts(1);
  const { ask, log } = rig({ grpc: { port: nobody }, timeoutSeconds: 1 });
  const startMs = performance.now();
  expect(await ask()).toEqual({ status: 500, body: "" });
  expect(performance.now() - startMs).toBeGreaterThan(900);
  expect(log[0]).toContain("ECONNREFUSED");
  const again = rig({ grpc: { port: nobody }, timeoutSeconds: 9 });
  const secondMs = performance.now();
  await again.ask();
  expect(performance.now() - secondMs).toBeLessThan(5_000); // its own limit is 1.5 s
  const deaf = await listen(createTcpServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")));
  expect(await rig({ grpc: { port: deaf }, timeoutSeconds: 5 }).ask()).toEqual({ status: 500, body: "" });
  const mute = await listen(createTcpServer(() => undefined));
  expect(await rig({ grpc: { port: mute } }).ask()).toEqual({ status: 500, body: "" }); // a limit of its own
});
