import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { afterEach, beforeEach, expect, test } from "vitest";
import { aborted, silentLogger } from "../../../src/base/index.ts";
import { createAdminClient, featuresOf } from "../../../src/envoy/index.ts";
import {
  agentExitCode,
  endError,
  type RestartPolicy,
  type RunRecord,
  superviseEnvoy,
  type Traces,
} from "../../../src/envoy/supervisor/index.ts";
import type { SuperviseOptions } from "../../../src/envoy/supervisor/supervised-envoy.ts";
import { noMetrics } from "../../support/no-metrics.ts";
import { outputSource } from "../../support/output.ts";
import { freePorts } from "../../support/ports.ts";
import { isAlive } from "../../support/processes.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-supervise-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const never = new AbortController().signal;
const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });

async function supervise(
  script: string,
  restart: RestartPolicy = "never",
  more: Partial<Pick<SuperviseOptions, "watchForHang" | "keepEvidence" | "admin">> = {},
) {
  const [port = 0] = await freePorts(1);
  return superviseEnvoy({
    spawn: {
      binary: "/bin/sh",
      args: ["-c", script],
      cwd: folder,
      env: { PATH: process.env.PATH },
      runAs: undefined,
      setpriv: undefined,
      output: outputSource(),
      stdout: nowhere,
      stderr: nowhere,
    },
    admin: createAdminClient("127.0.0.1", port),
    features: featuresOf(undefined),
    drain: {
      isInboundOnly: true,
      delayMs: 0,
      terminationMs: 0,
      isExitOnZeroConnections: false,
      minimumMs: 0,
      deadlineMs: 0,
      ownPorts: [],
    },
    restart,
    signals: { hurry: never, force: never },
    log: silentLogger,
    metrics: noMetrics,
    ...more,
  });
}

test.each([
  ["exit 0", 0, undefined],
  ["exit 7", 7, "Envoy could not start: exit status 7"],
  ["kill -SEGV $$", 139, "Envoy exited by itself: signal: segmentation fault"],
  ["kill -KILL $$", 137, "Envoy exited by itself: signal: killed"],
  [
    'echo "[critical] error initializing configuration: bad" >&2; exit 1',
    1,
    "Envoy could not start: exit status 1: [critical] error initializing configuration: bad",
  ],
])("a child that does %j ends the agent with %d", async (script, code, message) => {
  await using envoy = await supervise(script);
  const end = await envoy.ended;
  expect(agentExitCode(end)).toBe(code);
  expect(endError(end)?.message).toBe(message);
  expect(envoy.state().kind).toBe("ended");
});

test("on-failure starts it again, and a good end is the end", async () => {
  const script = 'echo x >> runs; [ "$(wc -l < runs)" -ge 3 ] && exit 0; kill -KILL $$';
  await using envoy = await supervise(script, "on-failure");
  expect(agentExitCode(await envoy.ended)).toBe(0);
  expect(await readFile(join(folder, "runs"), "utf8")).toBe("x\nx\nx\n");
});

test("a configuration that is refused is not tried again", async () => {
  await using envoy = await supervise("echo x >> runs; exit 1", "always");
  expect(agentExitCode(await envoy.ended)).toBe(1);
  expect(await readFile(join(folder, "runs"), "utf8")).toBe("x\n");
});

test("disposing ends the child and leaves no process", async () => {
  const envoy = await supervise('trap "exit 0" TERM; while :; do sleep 0.02; done');
  const pid = envoy.pid() ?? 0;
  await Promise.all([envoy[Symbol.asyncDispose](), envoy[Symbol.asyncDispose]()]);
  expect(isAlive(pid)).toBe(false);
  expect(await envoy.ended).toEqual({ by: "us" });
});

test("stopping resolves once the child was told to end, disposing once it is gone", async () => {
  const envoy = await supervise('trap ":" TERM; touch up; until [ -e may-end ]; do sleep 0.02; done');
  await expect.poll(() => existsSync(join(folder, "up"))).toBe(true);
  const pid = envoy.pid() ?? 0;
  await envoy.stop();
  expect([envoy.state().kind, isAlive(pid)]).toEqual(["stopping", true]);
  await writeFile(join(folder, "may-end"), "");
  await envoy[Symbol.asyncDispose]();
  expect(isAlive(pid)).toBe(false);
});

test("disposing while it waits to start again starts nothing more", async () => {
  const envoy = await supervise("echo x >> runs; kill -KILL $$", "always");
  await expect.poll(() => envoy.state().kind).toBe("waiting");
  await envoy[Symbol.asyncDispose]();
  const runs = await readFile(join(folder, "runs"), "utf8");
  expect(await envoy.ended).toEqual({ by: "us" });
  expect(await readFile(join(folder, "runs"), "utf8")).toBe(runs);
});

test("100 MB on stderr neither stop the child nor grow the agent", async () => {
  const before = process.memoryUsage().rss;
  await using envoy = await supervise("head -c 104857600 /dev/zero | tr '\\\\0' 'x' >&2; exit 0");
  expect(agentExitCode(await envoy.ended)).toBe(0);
  expect(process.memoryUsage().rss - before).toBeLessThan(200 * 2 ** 20);
});

/** An admin that says yes to everything. */
const content = { get: async () => "LIVE", post: async () => "OK" };

test("one that hangs is aborted with its traces kept, killed if it is deaf, and started again", async () => {
  const kept: [RunRecord, Traces][] = [];
  let looks = 0;
  await using envoy = await supervise(
    'trap "" ABRT; echo x >> runs; [ "$(wc -l < runs)" -ge 2 ] && exit 0; while :; do sleep 0.02; done',
    "on-failure",
    {
      admin: content,
      async watchForHang() {
        if (looks++ > 0) return undefined;
        await expect.poll(() => existsSync(join(folder, "runs"))).toBe(true); // it is deaf from then on
        return "thread 1 sleeps";
      },
      keepEvidence: async (run, traces) => {
        kept.push([run, traces]);
        return "/somewhere";
      },
    },
  );
  expect(agentExitCode(await envoy.ended)).toBe(0);
  expect(kept).toMatchObject([
    [{ wasHung: true, wasLive: true, end: { kind: "signal", signal: "SIGKILL" } }, { threads: "thread 1 sleeps" }],
  ]);
  expect(await readFile(join(folder, "runs"), "utf8")).toBe("x\nx\n");
});

test("a hang is the end where restarts are disabled, and its code is the signal's", async () => {
  await using envoy = await supervise("while :; do sleep 0.02; done", "never", {
    admin: content,
    watchForHang: async () => "",
  });
  const end = await envoy.ended;
  expect(agentExitCode(end)).toBe(134);
  expect(endError(end)?.message).toBe("Envoy stopped responding and was terminated: signal: aborted");
});

test("without hot restart nothing is replaced", async () => {
  await using envoy = await supervise("while :; do sleep 0.02; done");
  const spawn = { ...({} as Parameters<typeof envoy.replace>[0]) };
  expect(await envoy.replace(spawn, spawn)).toEqual({ kind: "refused", reason: "hot restart is off" });
});

test("a stop just after a crash waits until the evidence is written, which reads what is removed behind the stop", async () => {
  const [begun, written] = [new AbortController(), new AbortController()];
  const keepEvidence = async (): Promise<undefined> => {
    begun.abort();
    await aborted(written.signal);
  };
  const envoy = await supervise("exit 3", "never", { keepEvidence });
  await aborted(begun.signal);
  const order: string[] = [];
  const stopped = envoy.stop().then(() => order.push("stopped"));
  await new Promise((later) => setTimeout(later)); // a stop that does not wait would have come by now
  order.push("written");
  written.abort();
  await stopped;
  expect(order).toEqual(["written", "stopped"]);
  await envoy[Symbol.asyncDispose]();
});
