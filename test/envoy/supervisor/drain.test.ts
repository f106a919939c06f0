import { createServer } from "node:http";
import { type AddressInfo, createServer as createTcp } from "node:net";
import { Writable } from "node:stream";
import { expect, test } from "vitest";
import { createLogger } from "../../../src/base/index.ts";
import { createAdminClient, featuresOf } from "../../../src/envoy/index.ts";
import { type DrainOptions, describePlan } from "../../../src/envoy/supervisor/drain.ts";
import { superviseEnvoy } from "../../../src/envoy/supervisor/index.ts";
import type { SuperviseOptions } from "../../../src/envoy/supervisor/supervised-envoy.ts";
import { noMetrics } from "../../support/no-metrics.ts";
import { outputSource } from "../../support/output.ts";

const DRAIN: DrainOptions = {
  isInboundOnly: true,
  delayMs: 0,
  terminationMs: 60_000,
  isExitOnZeroConnections: false,
  minimumMs: 0,
  deadlineMs: 0,
  ownPorts: [],
};
const never = new AbortController().signal;
const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });

const OBEDIENT = 'trap "exit 0" TERM; echo up; while :; do sleep 0.02; done';
const DEAF = 'trap "" TERM; echo up; while :; do sleep 0.02; done';

interface Admin extends AsyncDisposable {
  readonly port: number;
  readonly calls: string[];
  /** Breaks off what is not answered. */
  cut(): void;
}

/** A text is the answer, a number its status; undefined never comes. */
async function startAdmin(answer: (path: string) => string | number | undefined): Promise<Admin> {
  const calls: string[] = [];
  const server = createServer((request, response) => {
    calls.push(`${request.method} ${request.url}`);
    const body = answer(request.url ?? "");
    if (typeof body === "number") response.writeHead(body).end();
    else if (body !== undefined) response.end(body);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return {
    port: (server.address() as AddressInfo).port,
    calls,
    cut: () => server.closeAllConnections(),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

interface Settings {
  readonly drain?: Partial<DrainOptions>;
  readonly signals?: SuperviseOptions["signals"];
}

/** A program that does what the shell script says, in Envoy's place; resolves once it has said that it is up. */
async function start(script: string, port: number, { drain, signals }: Settings = {}) {
  const lines: string[] = [];
  let isUp: () => void;
  const up = new Promise<void>((resolve) => {
    isUp = resolve;
  });
  const envoy = await superviseEnvoy({
    spawn: {
      binary: "/bin/sh",
      args: ["-c", script],
      cwd: "/",
      env: { PATH: process.env.PATH },
      runAs: undefined,
      setpriv: undefined,
      output: outputSource(),
      stdout: new Writable({
        write(_chunk, _encoding, done) {
          isUp();
          done();
        },
      }),
      stderr: nowhere,
    },
    features: featuresOf(undefined),
    admin: createAdminClient("127.0.0.1", port),
    drain: { ...DRAIN, ...drain },
    restart: "never",
    signals: signals ?? { hurry: never, force: never },
    log: createLogger({ write: (line) => lines.push(line) }),
    metrics: noMetrics,
  });
  await up;
  return { envoy, stop: () => envoy[Symbol.asyncDispose](), said: () => lines.join("") };
}

test.each([
  [true, ["POST /drain_listeners?inboundonly&graceful", "POST /drain_listeners?inboundonly"]],
  [false, ["POST /drain_listeners?graceful", "POST /drain_listeners"]],
])(
  "inbound only %s: the drain is asked for, at its end listeners close, then Envoy is ended politely",
  async (...row) => {
    const [isInboundOnly, calls] = row;
    await using admin = await startAdmin(() => "OK");
    const { stop, said } = await start(OBEDIENT, admin.port, { drain: { isInboundOnly, terminationMs: 0 } });
    await stop();
    expect(admin.calls.filter((one) => one.startsWith("POST"))).toEqual(calls);
    expect(said()).toContain("SIGTERM");
    expect(said()).not.toContain("SIGKILL");
  },
);

test("a child that is deaf to SIGTERM is killed", async () => {
  await using admin = await startAdmin(() => "OK");
  const { stop, said } = await start(DEAF, admin.port, { drain: { terminationMs: 0 } });
  await stop();
  expect(said()).toMatch(/SIGTERM[\s\S]*SIGKILL/);
});

test("a child that ends during the drain is not waited for", async () => {
  await using admin = await startAdmin(() => "OK");
  const { envoy, stop } = await start("echo up; sleep 0.3; exit 3", admin.port);
  await stop();
  expect(await envoy.ended).toEqual({ by: "us" });
});

test("a second signal cuts the wait short, also while the admin hangs", async () => {
  await using admin = await startAdmin(() => undefined);
  const hurry = new AbortController();
  const { stop, said } = await start(OBEDIENT, admin.port, { signals: { hurry: hurry.signal, force: never } });
  const stopped = stop();
  await expect.poll(() => admin.calls.some((call) => call.startsWith("POST"))).toBe(true);
  hurry.abort();
  await stopped;
  expect(said()).not.toContain("SIGKILL");
});

test("a third signal kills at once", async () => {
  await using admin = await startAdmin(() => "OK");
  const { stop, said } = await start(DEAF, admin.port, { signals: { hurry: never, force: AbortSignal.abort() } });
  await stop();
  expect(said()).toContain("SIGKILL");
});

test("an admin port that is closed is a warning, and the wait goes on to its deadline", async () => {
  const closed = createTcp();
  await new Promise<void>((done) => closed.listen(0, "127.0.0.1", done));
  const { port } = closed.address() as AddressInfo;
  await new Promise((done) => closed.close(done));
  const { stop, said } = await start(OBEDIENT, port, { drain: { deadlineMs: 50 } });
  await stop();
  expect(said()).toContain("Cannot request the drain; continuing");
});

test("what was drained before is ended without another drain", async () => {
  await using admin = await startAdmin(() => "OK");
  const { envoy, stop } = await start(OBEDIENT, admin.port);
  envoy.skipDrain();
  await stop();
  expect(admin.calls.filter((call) => call.startsWith("POST"))).toEqual([]);
});

test("reality 13: a drain that is asked for before Envoy is live does not stand for the drain of the end", async () => {
  await using admin = await startAdmin((path) => (path === "/ready" ? undefined : "OK"));
  const { envoy, stop } = await start(OBEDIENT, admin.port, { drain: { terminationMs: 0 } });
  await envoy.drain();
  const early = admin.calls.filter((call) => call.startsWith("POST")).length;
  await stop();
  expect(admin.calls.filter((call) => call.startsWith("POST")).slice(early)).toEqual([
    "POST /drain_listeners?inboundonly&graceful",
    "POST /drain_listeners?inboundonly",
  ]);
});

test("reality 13: a drain that Envoy refused does not stand for the drain of the end", async () => {
  let isRefused = true;
  await using admin = await startAdmin((path) => (path.startsWith("/drain") && isRefused ? undefined : "OK"));
  const { envoy, stop } = await start(OBEDIENT, admin.port, { drain: { terminationMs: 0 } });
  await expect.poll(() => envoy.state().kind).toBe("running");
  const draining = envoy.drain();
  await expect.poll(() => admin.calls.some((call) => call.startsWith("POST"))).toBe(true);
  admin.cut();
  await draining;
  isRefused = false;
  const early = admin.calls.length;
  await stop();
  expect(admin.calls.slice(early)).toContain("POST /drain_listeners?inboundonly&graceful");
});

test("status 12: waiting for the last connection survives failures and ends at zero", async () => {
  const answers = [
    ...[500, 500, 500, 500], // five would be too many
    "listener.0.0.0.0_80.downstream_cx_active: 3\n",
    "listener.0.0.0.0_80.downstream_cx_active: 0\n",
  ];
  await using admin = await startAdmin((path) => {
    if (!path.startsWith("/stats")) return "OK";
    return answers.length > 2 ? answers.shift() : (answers.shift() ?? "garbage");
  });
  const { stop, said } = await start(OBEDIENT, admin.port, { drain: { isExitOnZeroConnections: true } });
  await stop();
  expect(said()).toMatch(/Cannot count connections[\s\S]*still open[\s\S]*All connections are closed/);
});

test("status 13: five failures in a row end the wait", async () => {
  await using admin = await startAdmin((path) => (path.startsWith("/stats") ? 500 : "OK"));
  const { stop, said } = await start(OBEDIENT, admin.port, { drain: { isExitOnZeroConnections: true } });
  await stop();
  expect(said()).toMatch(/Cannot count connections.*attempt=5 of=5/);
  expect(said()).not.toContain("attempt=6");
});

test("waiting for the last connection is bounded", async () => {
  await using admin = await startAdmin((path) =>
    path.startsWith("/stats") ? "listener.0.0.0.0_80.downstream_cx_active: 3\n" : "OK",
  );
  const drain = { isExitOnZeroConnections: true, terminationMs: 100 };
  const { stop, said } = await start(OBEDIENT, admin.port, { drain });
  await stop();
  expect(said()).toContain("Connections are still open when the drain ends");
});

test("without a connection the wait is over at the first look", async () => {
  await using admin = await startAdmin((path) => (path.startsWith("/stats") ? "" : "OK"));
  const { stop, said } = await start(OBEDIENT, admin.port, { drain: { isExitOnZeroConnections: true } });
  await stop();
  expect(admin.calls.filter((call) => call.includes("downstream_cx_active"))).toHaveLength(1);
  expect(said()).toContain("Envoy does not count connections");
});

test("the plan says what will happen, with its times", () => {
  expect(describePlan({ ...DRAIN, delayMs: 5, terminationMs: 5_000, deadlineMs: 9_000 })).toBe(
    "wait 5 ms, drain inbound listeners, wait 5000 ms, end Envoy; all within 9000 ms",
  );
  expect(describePlan({ ...DRAIN, isInboundOnly: false, isExitOnZeroConnections: true, minimumMs: 7 })).toBe(
    "drain listeners, wait 7 ms, then until no connection is open, at most 60000 ms, end Envoy",
  );
});

test("a request that is open when the drain is over is waited for", async () => {
  const active = [2, 1, 0];
  await using admin = await startAdmin((path) =>
    path.includes("downstream_rq_active") ? `http.one.downstream_rq_active: ${active.shift() ?? 0}\n` : "OK",
  );
  const { stop, said } = await start(OBEDIENT, admin.port, { drain: { terminationMs: 0 } });
  await stop();
  expect(active).toEqual([]);
  expect(said()).not.toContain("Requests are still open");
});

test("one that never ends is not waited for longer than a second, or than the deadline", async () => {
  await using admin = await startAdmin((path) =>
    path.includes("downstream_rq_active") ? "http.one.downstream_rq_active: 1\n" : "OK",
  );
  const { stop, said } = await start(OBEDIENT, admin.port, { drain: { terminationMs: 0, deadlineMs: 100 } });
  await stop();
  expect(said()).toContain("Requests are still open when the drain ends");
});
