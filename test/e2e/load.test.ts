import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { describeLoad, startLoad } from "../support/load.ts";
import { type Runtime, runtimes } from "../support/pilotboat.ts";
import { childrenOf } from "../support/processes.ts";
import { createSandbox } from "../support/sandbox.ts";

// A longer run, on every form of the product: LOAD_SECONDS=60 npx vitest run test/e2e/load.test.ts
const LONGER_SECONDS = Number(process.env.LOAD_SECONDS ?? 0);
/** Answers between two events; some 700 come in a second. */
const SOME = Math.max(300, LONGER_SECONDS * 200);
const RELOADS = 10;
const PLAIN_MESH = resolve("test/fixtures/load-mesh");
const LIMIT_MS = 120_000 + LONGER_SECONDS * 3_000;

const forms = (): Runtime[] => (LONGER_SECONDS > 0 ? runtimes() : runtimes().slice(0, 1));

/** Of a connection that Envoy never saw: refused, or in the kernel's queue when the listener closed. */
const NEVER_ACCEPTED = /ECONNREFUSED|ECONNRESET/;

describe.each(forms())("under load on $name", { timeout: LIMIT_MS }, (runtime) => {
  test("a graceful stop tells every client to go, refuses nobody before its end, and who goes loses nothing", async () => {
    const drainMs = 2_000 + LONGER_SECONDS * 500;
    await using application = await startApplication();
    await using sandbox = await createSandbox(runtime, { resources: PLAIN_MESH, appPort: application.port });
    await using _ = await sandbox.startControlPlane();
    await using proxy = await sandbox.startProxy({ proxyConfig: { terminationDrainDuration: `${drainMs}ms` } });
    await proxy.waitFor(/Start: .*ready/);
    const port = sandbox.ports.inbound;
    await using leaving = startLoad({ port, whenTold: "leave", clients: { "new connection": 0 } });
    await using staying = startLoad({ port });
    await Promise.all([leaving.moreAnswers(SOME), staying.moreAnswers(SOME)]);
    const slow = askSlowly(port);
    await application.slowRequest;

    const signalMs = performance.now();
    proxy.kill("SIGTERM");
    await leaving.left();
    expect(performance.now() - signalMs).toBeLessThan(drainMs);
    expect(leaving.tally().failures).toEqual([]);
    expect(leaving.tally().told).toEqual({ "keep-alive": 4, "new connection": 0, "HTTP/2": 2 });
    application.answerSlow();
    expect(await slow).toBe(200);

    const first = await staying.firstFailure(); // these come back however often they are told
    const firstMs = first.endedMs - signalMs;
    expect((await proxy.ended).code).toBe(0);
    const tally = await staying.finish();
    print(runtime, "graceful stop, clients that leave", describeLoad(leaving.tally()));
    print(runtime, `clients that stay, first refused after ${Math.round(firstMs)} ms`, describeLoad(tally));
    expect(firstMs).toBeGreaterThan(drainMs - TIMER_GRAIN_MS);
    expect(tally.told["keep-alive"]).toBeGreaterThan(4);
    expect(tally.told["HTTP/2"]).toBeGreaterThan(2);
    expect(tally.failures.filter(({ reason }) => !NEVER_ACCEPTED.test(reason))).toEqual([]);
  });

  test("an agent that waits for its last connection ends after it, and no request was lost", async () => {
    await using application = await startApplication();
    await using sandbox = await createSandbox(runtime, { resources: PLAIN_MESH, appPort: application.port });
    await using _ = await sandbox.startControlPlane();
    const env = { EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true", MINIMUM_DRAIN_DURATION: "100ms" };
    await using proxy = await sandbox.startProxy({ env });
    await proxy.waitFor(/Start: .*ready/);
    const port = sandbox.ports.inbound;
    await using load = startLoad({ port, whenTold: "leave", clients: { "new connection": 0 } });
    await load.moreAnswers(SOME);
    const slow = askSlowly(port);
    await application.slowRequest;
    proxy.kill("SIGTERM");
    await load.left();
    await proxy.waitFor(/Connections are still open/);
    application.answerSlow();
    expect(await slow).toBe(200);
    expect((await proxy.ended).code).toBe(0);
    print(runtime, "stop after the last connection", describeLoad(load.tally()));
    expect(load.tally().failures).toEqual([]);
    expect(load.tally().told).toEqual({ "keep-alive": 4, "new connection": 0, "HTTP/2": 2 });
  });

  test("the loss of the control plane, and its return, cost no request", async () => {
    await using sandbox = await createSandbox(runtime);
    await using controlPlane = await sandbox.startControlPlane();
    await using proxy = await sandbox.startProxy();
    await proxy.waitFor(/Start: .*ready/);
    await using load = startLoad({ port: sandbox.ports.outbound });
    await load.moreAnswers(SOME);
    controlPlane.kill("SIGKILL");
    await proxy.waitFor(/upstream terminated with unexpected error/);
    await load.moreAnswers(SOME);
    await using _ = await sandbox.startControlPlane();
    await proxy.waitFor(/upstream XDS server responds again/);
    await load.moreAnswers(SOME);
    const tally = await load.finish();
    print(runtime, "control plane lost and back", describeLoad(tally));
    expect(tally.failures).toEqual([]);
  });

  test(`${RELOADS} hot restarts, one after the other, cost no request`, async () => {
    await using sandbox = await createSandbox(runtime);
    await using _ = await sandbox.startControlPlane();
    await using proxy = await sandbox.startProxy({
      args: ["--hot-restart"],
      proxyConfig: { drainDuration: "1s" },
      env: { PILOTBOAT_PARENT_SHUTDOWN: "1s" },
    });
    await proxy.waitFor(/Start: .*ready/);
    await using load = startLoad({ port: sandbox.ports.outbound });
    const pids = new Set(childrenOf(proxy.pid));
    const times: number[] = [];
    for (let reload = 0; reload < RELOADS; reload++) {
      await load.moreAnswers(100);
      const report = await sandbox.reload();
      expect(report).toMatchObject({ outcome: "replaced" });
      if (report.pid !== undefined) pids.add(report.pid);
      times.push(report.ms);
    }
    await load.moreAnswers(SOME);
    const tally = await load.finish();
    const shown = times.map((ms) => Math.round(ms)).join(", ");
    print(runtime, `hot restarts in ${shown} ms, the drain of the epoch before included`, describeLoad(tally));
    expect(tally.failures).toEqual([]);
    expect(pids.size).toBe(1 + RELOADS);
  });

  test("an Envoy that crashes is replaced, and requests fail only in between", async () => {
    await using sandbox = await createSandbox(runtime);
    await using _ = await sandbox.startControlPlane();
    await using proxy = await sandbox.startProxy({ args: ["--restart", "on-failure"] });
    await proxy.waitFor(/Start: .*ready/);
    const [envoy = 0] = childrenOf(proxy.pid);
    await using load = startLoad({ port: sandbox.ports.outbound });
    await load.moreAnswers(SOME);
    const crashedMs = performance.now();
    process.kill(envoy, "SIGKILL");
    const servedMs = await load.answerAfter((await load.firstFailure()).endedMs);
    await load.moreAnswers(SOME);
    const tally = await load.finish();
    print(runtime, `crash, ${Math.round(servedMs - crashedMs)} ms until serving`, describeLoad(tally));
    for (const { endedMs } of tally.failures) expect(endedMs).toBeGreaterThan(crashedMs);
    for (const { startedMs } of tally.failures) expect(startedMs).toBeLessThan(servedMs);
    expect(childrenOf(proxy.pid)).not.toContain(envoy);
  });
});

/** Timers may fire a little early on another clock than theirs. */
const TIMER_GRAIN_MS = 5;
const SLOW_PATH = "/slow";

/** Answers at once, except that one path waits until it is allowed to. */
async function startApplication() {
  let noteSlow = (): void => undefined;
  let answerSlow = (): void => undefined;
  const slowRequest = new Promise<void>((resolve) => {
    noteSlow = resolve;
  });
  const isAllowed = new Promise<void>((resolve) => {
    answerSlow = resolve;
  });
  const server = createServer((request, response) => {
    if (request.url !== SLOW_PATH) return void response.end("at once");
    noteSlow();
    void isAllowed.then(() => response.end("at last"));
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    port: (server.address() as AddressInfo).port,
    /** Resolves when the request that waits has arrived. */
    slowRequest,
    answerSlow: () => answerSlow(),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}

/** Its status, or why there is none. */
function askSlowly(port: number): Promise<number | string> {
  return fetch(`http://127.0.0.1:${port}${SLOW_PATH}`).then(
    async (response) => {
      await response.text();
      return response.status;
    },
    (error: Error) => String(error.cause ?? error),
  );
}

function print(runtime: Runtime, what: string, line: string): void {
  console.log(`${runtime.name}, ${what}: ${line}`);
}
