import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect } from "vitest";
import { type RunningCommand, type Runtime, runtimes } from "../support/pilotboat.ts";
import { processesIn } from "../support/processes.ts";
import { createSandbox, type ProxyOptions, type Sandbox } from "../support/sandbox.ts";

export const FAKE_ENVOY = resolve("test/fixtures/fake-envoy");

/** A mesh of one whose proxy is started anew by each test, in one folder and on the same ports. */
export interface Rig extends AsyncDisposable {
  readonly sandbox: Sandbox;
  /**
   * `FAULT_STDOUT` and `FAULT_STDERR` in its `env` name files that take the agent's output; with `FAULT_TERMINAL` it runs
   * in a terminal, which is the command that is returned.
   */
  startProxy(options?: ProxyOptions): Promise<RunningCommand>;
  /** With the fake in Envoy's place. */
  startWithFake(mode: string, options?: ProxyOptions): Promise<RunningCommand>;
  /** A proxy that answers requests, and its Envoy. */
  startServing(options?: ProxyOptions): Promise<Serving>;
  /** Ends the control plane while `body` runs, and starts it again. */
  withoutControlPlane(body: () => Promise<void>): Promise<void>;
  /** What a client gets: the status, or why there is none. */
  request(): Promise<number | string>;
  /** What `/healthz/ready` says. */
  readiness(): Promise<{ readonly status: number; readonly reason: string }>;
  /** Processes, sockets and files that a proxy should have taken along. */
  leftovers(): readonly string[];
}

export interface Serving extends AsyncDisposable {
  readonly agent: RunningCommand;
  readonly envoyPid: number;
}

export async function startRig(): Promise<Rig> {
  const sandbox = await createSandbox(redirectable());
  let controlPlane = await sandbox.startControlPlane();
  const { folder, ports } = sandbox;
  const rig: Rig = {
    sandbox,
    startProxy: (options) => sandbox.startProxy(options),
    startWithFake: (mode, { proxyConfig, env, args = [] } = {}) =>
      sandbox.startProxy({
        proxyConfig: { binaryPath: FAKE_ENVOY, ...proxyConfig },
        env: { FAKE_ENVOY: mode, ...env },
        args,
      }),
    async startServing(options) {
      const agent = await sandbox.startProxy(options);
      const dispose = async (): Promise<void> => agent[Symbol.asyncDispose]();
      try {
        await expect.poll(async () => (await rig.readiness()).status, { interval: 20 }).toBe(200);
        await expect.poll(() => rig.request(), { interval: 20 }).toBe(200);
      } catch (error) {
        await dispose();
        throw error;
      }
      return { agent, envoyPid: envoyOf(agent.pid), [Symbol.asyncDispose]: dispose };
    },
    async withoutControlPlane(body) {
      controlPlane.kill("SIGTERM");
      await controlPlane.ended;
      try {
        await body();
      } finally {
        controlPlane = await sandbox.startControlPlane();
      }
    },
    request: () => ask(`http://127.0.0.1:${ports.outbound}/`).then(({ status, reason }) => status || reason),
    readiness: () => ask(`http://127.0.0.1:${ports.status}/healthz/ready`),
    leftovers: () => [
      ...processesIn(folder).map((pid) => `process ${pid}`),
      ...["XDS", "envoy-rev.json", "agent.json"].map((name) => join("etc/istio/proxy", name)).filter(isIn(folder)),
      ...["var/run/secrets/workload-spiffe-uds/socket"].filter(isIn(folder)),
    ],
    async [Symbol.asyncDispose]() {
      await controlPlane[Symbol.asyncDispose]();
      await sandbox[Symbol.asyncDispose]();
    },
  };
  return rig;
}

/** The agent's only child. */
export function envoyOf(agentPid: number): number {
  return Number(readFileSync(`/proc/${agentPid}/task/${agentPid}/children`, "utf8").trim().split(" ")[0]);
}

/** Most memory that a process has had, in MB. */
export function peakMegabytes(pid: number): number {
  const [, kilobytes = "0"] = /^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Math.round(Number(kilobytes) / 1_024);
}

/** Open files, sockets and pipes of a process. */
export function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** The product behind a shell that redirects its output on request, and becomes it. */
function redirectable(): Runtime {
  const [runtime] = runtimes();
  const script = [
    'if [ -n "$FAULT_STDOUT" ]; then exec >"$FAULT_STDOUT"; fi',
    'if [ -n "$FAULT_STDERR" ]; then exec 2>"$FAULT_STDERR"; fi',
    'if [ -n "$FAULT_TERMINAL" ]; then exec script --quiet --return --command "$*" /dev/null; fi',
    'exec "$@"',
  ].join("; ");
  return { name: runtime?.name ?? "", command: ["/bin/sh", "-c", script, "sh", ...(runtime?.command ?? [])] };
}

const isIn =
  (folder: string) =>
  (path: string): boolean =>
    existsSync(join(folder, path));

const ASK_LIMIT_MS = 1_000;

function ask(url: string): Promise<{ status: number; reason: string }> {
  return fetch(url, { signal: AbortSignal.timeout(ASK_LIMIT_MS), headers: { connection: "close" } }).then(
    async (answer) => ({ status: answer.status, reason: await answer.text() }),
    ({ name, cause }: Error & { cause?: { code?: string } }) => ({ status: 0, reason: cause?.code ?? name }),
  );
}
