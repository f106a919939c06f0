import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { build } from "esbuild";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createLogger, systemClock } from "../../../src/base/index.ts";
import { createAdminClient } from "../../../src/envoy/admin-client.ts";
import { dumpThreads } from "../../../src/envoy/evidence/thread-dump.ts";
import { watchForHang } from "../../../src/envoy/evidence/watchdog.ts";
import { createMovableClock } from "../../support/movable-clock.ts";
import { freePorts } from "../../support/ports.ts";
import { realEnvoy } from "../../support/real-envoy.ts";

let folder: string;
let lines: string[];
const opened: { close(): void }[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-watchdog-"));
  lines = [];
});
afterEach(async () => {
  for (const one of opened.splice(0)) one.close();
  await rm(folder, { recursive: true, force: true });
});

const log = createLogger({ write: (line) => void lines.push(line.split("\t").slice(1).join(" ").trim()) });

/** Takes connections and says nothing, as a stopped process does, until told otherwise. */
async function startSilent() {
  const state = { asked: 0, isSilent: true };
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    state.asked++;
    sockets.add(socket);
    socket.on("error", () => undefined); // the asker gave up
    if (!state.isSilent) socket.end("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  });
  const port = await listen(server);
  opened.push({
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  });
  return { port, state };
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return (server.address() as AddressInfo).port;
}

const INTERVAL_MS = 10_000;

/** A watch on a clock that stands still: `round` lets it ask once, `asked` waits for the question. */
async function watch(failures: number) {
  const { port, state } = await startSilent();
  const clock = createMovableClock();
  const stopping = new AbortController();
  opened.push({ close: () => stopping.abort() });
  const settled: unknown[] = [];
  const admin = createAdminClient("127.0.0.1", port);
  const options = { admin, clock, intervalMs: INTERVAL_MS, timeoutMs: 200, failures, stop: stopping.signal, log };
  const result = watchForHang(options);
  void result.then((report) => settled.push(report));
  const round = async (): Promise<void> => {
    await expect.poll(() => clock.sleeping, { interval: 5 }).toBe(2); // the pause and its beat
    const before = state.asked;
    await clock.advance(INTERVAL_MS);
    await expect.poll(() => state.asked, { interval: 5 }).toBe(before + 1);
  };
  return { clock, state, settled, result, round, stop: () => stopping.abort() };
}

const warnings = (): string[] => lines.filter((line) => line.startsWith("warn"));

test("so many questions in a row without an answer are a hang", async () => {
  const { round, result, clock } = await watch(3);
  const firstMs = clock.now() + INTERVAL_MS;
  for (let at = 0; at < 3; at++) await round();
  expect(await result).toEqual({
    failures: 3,
    sinceMs: firstMs,
    reason: expect.stringContaining("no answer within 200 ms"),
  });
  expect(warnings().map((line) => line.slice(0, 51))).toEqual(
    [1, 2, 3].map((attempt) => `warn Envoy's admin does not answer attempt=${attempt} of=3 e`),
  );
});

test("an answer in between clears the account", async () => {
  const { round, state, result, settled, stop } = await watch(2);
  await round();
  await expect.poll(() => warnings()).toHaveLength(1);
  state.isSilent = false;
  await round();
  await expect.poll(() => lines.at(-1)).toBe("info Envoy's admin answers again after=1");
  state.isSilent = true;
  await round();
  await expect.poll(() => warnings()).toHaveLength(2);
  expect(settled).toEqual([]);
  stop();
  expect(await result).toBeUndefined();
});

test("an agent that was stopped while it waited for the answer does not blame Envoy", async () => {
  const { round, clock, result, settled, stop } = await watch(1);
  for (let at = 0; at < 3; at++) {
    await round();
    clock.jump(3_600_000);
  }
  await expect.poll(() => clock.sleeping, { interval: 5 }).toBe(2);
  expect(settled).toEqual([]);
  expect(warnings()).toEqual([]);
  stop();
  expect(await result).toBeUndefined();
});

test("a machine that slept between two questions begins the count anew", async () => {
  const { round, clock, result } = await watch(2);
  await round();
  await expect.poll(() => clock.sleeping, { interval: 5 }).toBe(2);
  clock.jump(3_600_000);
  await round();
  await expect.poll(() => warnings()).toHaveLength(2);
  expect(warnings().every((line) => line.includes("attempt=1 of=2"))).toBe(true);
  await round();
  expect(await result).toMatchObject({ failures: 2 });
});

test("a clock that is set back hides no hang", async () => {
  const { round, clock, result } = await watch(2);
  await round();
  clock.jump(-3_600_000);
  await round();
  expect(await result).toMatchObject({ failures: 2 });
});

test("the stop ends the watch while it waits for an answer", async () => {
  const { round, result, stop, state } = await watch(1);
  await round();
  expect(state.asked).toBe(1);
  stop();
  expect(await result).toBeUndefined();
  expect(lines).toEqual([]);
});

test("an event loop that was blocked does not blame Envoy", async () => {
  const { port, state } = await startSilent();
  state.isSilent = false;
  const client = createAdminClient("127.0.0.1", port);
  const stopping = new AbortController();
  let asked = 0;
  const admin = {
    ...client,
    get(...words: Parameters<typeof client.get>) {
      const answer = client.get(...words);
      if (asked++ === 1) block(1_000);
      return answer;
    },
  };
  const result = watchForHang({
    ...{ admin, clock: systemClock, intervalMs: 20, timeoutMs: 500, failures: 1, stop: stopping.signal, log },
  });
  await expect.poll(() => asked).toBeGreaterThan(3);
  stopping.abort();
  expect(await result).toBeUndefined();
  expect(warnings()).toEqual([]);
});

function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

const STOPPED_MS = 1_500;

test("an agent that was really stopped and continued does not blame Envoy", async () => {
  let asked = 0;
  const server = createHttpServer((_request, response) => {
    asked++;
    if (asked === 2) child.kill("SIGSTOP"); // it waits for this answer
    response.end("ok");
  });
  const port = await listen(server);
  opened.push(server);
  const agent = join(folder, "agent.mjs");
  await build({
    stdin: { contents: agentScript(port), resolveDir: resolve(".") },
    ...{ bundle: true, format: "esm", platform: "node", target: "node20", outfile: agent, logLevel: "error" },
  });
  const child = spawn(process.execPath, [agent], { stdio: ["ignore", "pipe", "inherit"] });
  opened.push({ close: () => void child.kill("SIGKILL") });
  let said = "";
  child.stdout.on("data", (text: Buffer) => {
    said += text.toString();
  });
  await expect.poll(() => asked).toBe(2);
  await systemClock.sleep(STOPPED_MS); // how long it is stopped is the subject here
  expect(asked).toBe(2);
  child.kill("SIGCONT");
  await expect.poll(() => asked).toBeGreaterThan(5);
  child.kill("SIGTERM");
  await expect.poll(() => said).toBe("undefined\n");
});

function agentScript(port: number): string {
  return `
    import { silentLogger, systemClock } from "./src/base/index.ts";
    import { createAdminClient } from "./src/envoy/admin-client.ts";
    import { watchForHang } from "./src/envoy/evidence/watchdog.ts";
    const stopping = new AbortController();
    process.once("SIGTERM", () => stopping.abort());
    const admin = createAdminClient("127.0.0.1", ${port});
    const limits = { intervalMs: 50, timeoutMs: 500, failures: 1 };
    const report = await watchForHang({ admin, clock: systemClock, ...limits, stop: stopping.signal, log: silentLogger });
    console.log(report === undefined ? "undefined" : JSON.stringify(report));
  `;
}

test("a real Envoy answers while it drains, and hangs when it is stopped, with a dump of its threads", async () => {
  const [port = 0] = await freePorts(1);
  const config = join(folder, "envoy.json");
  await writeFile(
    config,
    JSON.stringify({ admin: { address: { socket_address: { address: "127.0.0.1", port_value: port } } } }),
  );
  const child = spawn(await realEnvoy(), ["-c", config, "--disable-hot-restart", "-l", "error"], { stdio: "ignore" });
  opened.push({ close: () => void child.kill("SIGKILL") });
  const client = createAdminClient("127.0.0.1", port);
  await expect.poll(() => client.get("/ready", 1_000).catch(() => "")).toBe("LIVE\n");
  await client.post("/healthcheck/fail", 1_000);
  await client.post("/drain_listeners?graceful&skip_exit", 1_000);

  let asked = 0;
  const admin = {
    ...client,
    get(...words: Parameters<typeof client.get>) {
      asked++;
      return client.get(...words);
    },
  };
  const stop = new AbortController().signal;
  const watching = watchForHang({
    ...{ admin, clock: systemClock, intervalMs: 50, timeoutMs: 500, failures: 2, stop, log },
  });
  await expect.poll(() => asked).toBeGreaterThan(5);
  expect(warnings()).toEqual([]);
  child.kill("SIGSTOP");
  expect(await watching).toMatchObject({ failures: 2, reason: expect.stringContaining("no answer within 500 ms") });
  const dump = await dumpThreads(child.pid ?? 0);
  if (process.platform === "linux") expect(dump).toMatch(/^thread \d+, name wrk:worker_0, state T \(stopped\), /m);
  else expect(dump).toBeUndefined();
});
