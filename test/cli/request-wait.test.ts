import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { runCommand } from "../../src/cli/contract/index.ts";
import { command as requestCommand } from "../../src/cli/request.ts";
import { command as waitCommand } from "../../src/cli/wait.ts";
import type { Host } from "../../src/host/index.ts";
import { freePorts } from "../support/ports.ts";

const never = new AbortController().signal;
const request = (args: readonly string[], host: Host) => runCommand(requestCommand, args, host);
const wait = (args: readonly string[], host: Host) => runCommand(waitCommand, args, host);

function hostWith(env: Host["env"] = {}): Host & { readonly printed: () => string } {
  const stdout = new PassThrough({ encoding: "utf8" });
  let printed = "";
  stdout.on("data", (text: string) => {
    printed += text;
  });
  return {
    env,
    cwd: "/",
    stdout,
    stderr: new PassThrough(),
    signals: { stop: never, hurry: never, force: never },
    printed: () => printed,
  };
}

async function serve(listener: RequestListener, at = "localhost") {
  const seen: string[] = [];
  const server = createServer((incoming, response) => {
    let body = "";
    incoming.on("data", (chunk: Buffer) => {
      body += chunk.toString();
    });
    incoming.on("end", () => {
      seen.push(`${incoming.method} ${incoming.url} ${body}`.trim());
      listener(incoming, response);
    });
  });
  await new Promise<void>((resolve) => server.listen({ port: 0, host: at, ipv6Only: true }, resolve));
  const { port } = server.address() as AddressInfo;
  const host = hostWith({ PROXY_CONFIG: `proxyAdminPort: ${port}` });
  return {
    seen,
    port,
    host,
    ask: (...args: string[]) => request(["--debug-port", String(port), ...args], host),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test.each(["/want/path", "want/path"])("request POST %s sends the body there and prints the answer", async (path) => {
  await using envoy = await serve((_request, response) => response.end("done"));
  expect(await envoy.ask("POST", path, "body", "ignored")).toBe(0);
  expect(envoy.seen).toEqual(["POST /want/path body"]);
  await expect.poll(envoy.host.printed).toBe("done\n");
});

test("request takes 404 as an answer", async () => {
  await using envoy = await serve((_request, response) => response.writeHead(404).end("not-found"));
  expect(await envoy.ask("GET", "x")).toBe(0);
  await expect.poll(envoy.host.printed).toBe("not-found\n");
});

test("request follows redirects", async () => {
  await using envoy = await serve((incoming, response) => {
    if (incoming.url === "/a") response.writeHead(302, { Location: "/b" }).end();
    else response.end("there");
  });
  await envoy.ask("POST", "a", "body");
  expect(envoy.seen).toEqual(["POST /a body", "GET /b"]);
});

test("request fails on other refusals, and on no answer", async () => {
  await using envoy = await serve((_request, response) => response.writeHead(400).end("bad"));
  await expect(envoy.ask("GET", "x")).rejects.toMatchObject({
    code: "REQUEST_FAILED",
    message: "received unsuccessful status code 400: bad",
  });
  const [port = 0] = await freePorts(1);
  const host = hostWith({ ENVOY_STATUS_PORT: String(port) });
  await expect(request([`--debug-port=${port}`, "GET", "stats"], host)).rejects.toThrow("ECONNREFUSED");
});

test("request refuses ports that are nobody's, and mistyped command lines", async () => {
  const host = hostWith({ PROXY_CONFIG: "statusPort: 16020" });
  const usage = (message: string) => ({ code: "USAGE", message: expect.stringContaining(message) });
  await expect(request(["--debug-port=15025", "GET", "stats"], host)).rejects.toMatchObject(
    usage("debug port 15025 is not in allowed list [15000 15004 15020 15021]"),
  );
  await expect(request(["GET"], host)).rejects.toMatchObject(usage("requires at least 2 arg(s), only received 1"));
  await expect(request(["GET", "x", "--nope"], host)).rejects.toMatchObject(usage("unknown flag: --nope"));
  await expect(wait(["-x"], host)).rejects.toMatchObject(usage("unknown shorthand flag: 'x' in -x"));
  await expect(request(["GET", "x", "--debug-port=abc"], host)).rejects.toMatchObject(usage("abc"));
  await expect(request(["GE T", "x", "--debug-port=16020"], host)).rejects.toThrow("Method must be a valid HTTP token");
});

test("the logging flags of every command are taken, without effect", async () => {
  await using envoy = await serve((_request, response) => response.end("done"));
  const words = ["--log_output_level=all:debug", "--log_as_json", "--log_target", "stderr", "--vklog=9"];
  expect(await envoy.ask(...words, "GET", "x")).toBe(0);
  await expect.poll(envoy.host.printed).toBe("done\n");
  const host = hostWith();
  expect(await wait([...words, `--url=http://localhost:${envoy.port}/`, "--periodMillis=10"], host)).toBe(0);
  await expect.poll(host.printed).toMatch(/\tinfo\tWaiting[^{]*\tinfo\tEnvoy is ready!/);
});

test("wait returns once the proxy is ready", async () => {
  let asked = 0;
  await using envoy = await serve((_request, response) => response.writeHead(++asked < 3 ? 503 : 200).end());
  const host = hostWith();
  expect(await wait([`--url=http://localhost:${envoy.port}/healthz/ready`, "--periodMillis", "10"], host)).toBe(0);
  await expect
    .poll(host.printed)
    .toMatch(/Waiting for Envoy proxy to be ready \(timeout: 60 seconds\)[\s\S]*Envoy is ready!/);
});

test("wait gives up with the last error, the readiness reason included", async () => {
  const [port] = await freePorts(1);
  const late = wait([`--url=http://localhost:${port}/`, "--timeoutSeconds=1", "--periodMillis=100"], hostWith());
  await expect(late).rejects.toMatchObject({
    code: "TIMEOUT",
    message: expect.stringMatching(/^timeout waiting for Envoy proxy to become ready\. Last error: .*ECONNREFUSED/),
  });
  await using envoy = await serve((_request, response) =>
    response.writeHead(503).end("workers have not yet started\n"),
  );
  const notReady = wait([`--url=http://localhost:${envoy.port}`, "--timeoutSeconds=1"], hostWith());
  await expect(notReady).rejects.toThrow("Last error: HTTP status code 503: workers have not yet started");
  await expect(wait(["--timeoutSeconds=0"], hostWith())).rejects.toThrow("Last error: <nil>");
});

test("wait does not exceed its time by waiting for an agent that says nothing", async () => {
  await using agent = await serve(() => undefined);
  const [envoy] = await freePorts(1);
  const host = hostWith({ PROXY_CONFIG: `statusPort: ${agent.port}` });
  const begunMs = performance.now();
  const words = ["--url", `http://localhost:${envoy}/`, "--timeoutSeconds=1", "--periodMillis=400"];
  await expect(wait(words, host)).rejects.toMatchObject({ code: "TIMEOUT" });
  expect(performance.now() - begunMs).toBeLessThan(2_500); // the agent may take 2 s
});

test("wait that times out at Envoy's closed port gives the agent's own reason", async () => {
  let reason: object | undefined = {
    ready: false,
    message: "config not received; connect ECONNREFUSED 10.0.0.1:15012",
  };
  await using agent = await serve(({ headers }, response) => {
    if (headers.accept === "application/json") response.writeHead(503).end(reason && JSON.stringify(reason));
    else response.writeHead(503).end();
  });
  const [envoy] = await freePorts(1);
  const host = hostWith({ PROXY_CONFIG: `statusPort: ${agent.port}` });
  const waitAt = (url: string) => wait(["--url", url, "--timeoutSeconds=1", "--periodMillis=400"], host);
  const at = `the agent (port ${agent.port})`;
  const because = `; ${at}: config not received; connect ECONNREFUSED 10.0.0.1:15012`;
  await expect(waitAt(`http://localhost:${envoy}/healthz/ready`)).rejects.toThrow(`:${envoy}${because}`);
  expect(agent.seen).toEqual(["GET /healthz/ready"]); // once, when the time is over
  await expect(waitAt(`http://127.0.0.1:${agent.port}/`)).rejects.toThrow(`HTTP status code 503${because}`);
  reason = { ready: true };
  await expect(waitAt(`http://localhost:${envoy}/`)).rejects.toThrow(`${at} is ready`);
  reason = undefined; // as pilot-agent answers
  await expect(waitAt(`http://localhost:${envoy}/`)).rejects.toThrow(/ECONNREFUSED \S+$/);
});

test("wait ends at once when it gets a stop signal", async () => {
  const stop = new AbortController();
  const host = { ...hostWith(), signals: { stop: stop.signal, hurry: never, force: never } };
  const waiting = wait(["--periodMillis=60000"], host);
  stop.abort(new Error("received signal SIGTERM"));
  await expect(waiting).rejects.toMatchObject({
    code: "STOPPED",
    message: "Stopped waiting for the proxy: received signal SIGTERM",
  });
});

test.each(["127.0.0.1", "::1"])("reality 18: request and wait find what listens at %s only", async (at) => {
  await using envoy = await serve((_request, response) => response.end("here"), at);
  expect(await envoy.ask("GET", "stats")).toBe(0);
  await expect.poll(envoy.host.printed).toBe("here\n");
  const url = `http://localhost:${envoy.port}/healthz/ready`;
  expect(await wait(["--url", url, "--periodMillis", "1"], hostWith())).toBe(0);
  expect(envoy.seen).toEqual(["GET /stats", "GET /healthz/ready"]);
});
