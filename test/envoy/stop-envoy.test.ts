import { createServer } from "node:http";
import { type AddressInfo, createServer as createTcp } from "node:net";
import { expect, test } from "vitest";
import { createLogger, systemClock } from "../../src/base/index.ts";
import { describeEnd, type EnvoyChild, spawnEnvoy } from "../../src/envoy/child.ts";
import { createAdminClient } from "../../src/envoy/index.ts";
import { type DrainOptions, describePlan, stopEnvoy } from "../../src/envoy/stop-envoy.ts";

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

/** A program in Envoy's place that does what the shell script says. */
function spawnScript(script: string): Promise<EnvoyChild> {
  return spawnEnvoy({
    binary: "/bin/sh",
    args: ["-c", script],
    cwd: "/",
    env: { PATH: process.env.PATH },
    runAs: undefined,
    setpriv: undefined,
    stdout: process.stdout,
    stderr: process.stderr,
  });
}

const OBEDIENT = 'trap "exit 0" TERM; while :; do sleep 0.02; done';
const DEAF = 'trap "" TERM; while :; do sleep 0.02; done';

interface Admin extends AsyncDisposable {
  readonly port: number;
  readonly calls: string[];
}

async function startAdmin(answer: (path: string) => string | undefined): Promise<Admin> {
  const calls: string[] = [];
  const server = createServer((request, response) => {
    calls.push(`${request.method} ${request.url}`);
    const body = answer(request.url ?? "");
    if (body !== undefined) response.end(body);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return {
    port: (server.address() as AddressInfo).port,
    calls,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

function stop(child: EnvoyChild, port: number, drain: Partial<DrainOptions> = {}, more: object = {}) {
  const lines: string[] = [];
  const stopped = stopEnvoy(child, {
    drain: { ...DRAIN, ...drain },
    isDrained: false,
    admin: createAdminClient("127.0.0.1", port),
    signals: { hurry: never, force: never },
    log: createLogger({ write: (line) => lines.push(line) }),
    clock: systemClock,
    ...more,
  });
  return { stopped, lines };
}

test.each([
  [true, "POST /drain_listeners?inboundonly&graceful"],
  [false, "POST /drain_listeners?graceful"],
])("inbound only %s: the drain is asked for, then Envoy is ended politely", async (isInboundOnly, call) => {
  await using admin = await startAdmin(() => "OK");
  const child = await spawnScript(OBEDIENT);
  await stop(child, admin.port, { isInboundOnly, terminationMs: 0 }).stopped;
  expect(admin.calls).toEqual([call]);
  expect(await child.ended).toEqual({ kind: "code", code: 0 });
});

test("a child that is deaf to SIGTERM is killed", async () => {
  await using admin = await startAdmin(() => "OK");
  const child = await spawnScript(DEAF);
  await stop(child, admin.port, { terminationMs: 0 }).stopped;
  expect(describeEnd(await child.ended)).toBe("signal: killed");
});

test("a child that ends during the drain is not waited for", async () => {
  await using admin = await startAdmin(() => "OK");
  const child = await spawnScript("exit 3");
  await stop(child, admin.port).stopped;
  expect(await child.ended).toEqual({ kind: "code", code: 3 });
});

test("a second signal cuts the wait short, also while the admin hangs", async () => {
  await using admin = await startAdmin(() => undefined);
  const child = await spawnScript(OBEDIENT);
  const hurry = new AbortController();
  const { stopped } = stop(child, admin.port, {}, { signals: { hurry: hurry.signal, force: never } });
  await expect.poll(() => admin.calls).toHaveLength(1);
  hurry.abort();
  await stopped;
  expect(await child.ended).toEqual({ kind: "code", code: 0 });
});

test("a third signal kills at once", async () => {
  await using admin = await startAdmin(() => "OK");
  const child = await spawnScript(DEAF);
  await stop(child, admin.port, {}, { signals: { hurry: never, force: AbortSignal.abort() } }).stopped;
  expect(describeEnd(await child.ended)).toBe("signal: killed");
});

test("an admin port that is closed is a warning, and the wait goes on to its deadline", async () => {
  const closed = createTcp();
  await new Promise<void>((done) => closed.listen(0, "127.0.0.1", done));
  const { port } = closed.address() as AddressInfo;
  await new Promise((done) => closed.close(done));
  const child = await spawnScript(OBEDIENT);
  const { stopped, lines } = stop(child, port, { deadlineMs: 50 });
  await stopped;
  expect(lines.join("")).toContain("Cannot request the drain, going on");
});

test("what was drained before is ended without another drain", async () => {
  await using admin = await startAdmin(() => "OK");
  const child = await spawnScript(OBEDIENT);
  await stop(child, admin.port, {}, { isDrained: true }).stopped;
  expect(admin.calls).toEqual([]);
});

test("waiting for the last connection survives failures and ends at zero", async () => {
  const answers = [
    undefined,
    undefined,
    "listener.0.0.0.0_80.downstream_cx_active: 3\n",
    "listener.0.0.0.0_80.downstream_cx_active: 0\n",
  ];
  await using admin = await startAdmin((path) => (path.startsWith("/stats") ? (answers.shift() ?? "garbage") : "OK"));
  const child = await spawnScript(OBEDIENT);
  const { stopped, lines } = stop(child, admin.port, { isExitOnZeroConnections: true });
  await stopped;
  expect(lines.join("")).toContain("No connection is open any more");
});

test("waiting for the last connection is bounded", async () => {
  await using admin = await startAdmin((path) =>
    path.startsWith("/stats") ? "listener.0.0.0.0_80.downstream_cx_active: 3\n" : "OK",
  );
  const child = await spawnScript(OBEDIENT);
  const { stopped, lines } = stop(child, admin.port, { isExitOnZeroConnections: true, terminationMs: 100 });
  await stopped;
  expect(lines.join("")).toContain("Connections are still open at the end of the drain");
});

test("the plan says what will happen, with its times", () => {
  expect(describePlan({ ...DRAIN, delayMs: 5, terminationMs: 5_000, deadlineMs: 9_000 })).toBe(
    "wait 5 ms, drain inbound listeners, wait 5000 ms, end Envoy; all within 9000 ms",
  );
  expect(describePlan({ ...DRAIN, isInboundOnly: false, isExitOnZeroConnections: true, minimumMs: 7 })).toBe(
    "drain listeners, wait 7 ms, then until no connection is open, at most 60000 ms, end Envoy",
  );
});
