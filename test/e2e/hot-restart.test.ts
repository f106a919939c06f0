import { existsSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { AgentReport, ReloadReport } from "../../src/agent/index.ts";
import type { RunFile } from "../../src/agent/run-folder/index.ts";
import { bindTcp } from "../../src/base/index.ts";
import { CLUSTER_TYPE, LISTENER_TYPE } from "../../src/control-plane/ads/resource-types.ts";
import { connectAds } from "../support/ads-client.ts";
import { type RunningCommand, type Runtime, run, runtimes } from "../support/pilotboat.ts";
import { isAlive } from "../support/processes.ts";
import { realEnvoy } from "../support/real-envoy.ts";
import { createSandbox, type ProxyOptions, type Sandbox } from "../support/sandbox.ts";

const ENV = { PILOTBOAT_HOT_RESTART: "true", PILOTBOAT_PARENT_SHUTDOWN: "2s", PILOTBOAT_RESTART: "on-failure" };

interface Rig extends AsyncDisposable {
  readonly sandbox: Sandbox;
  readonly proxy: RunningCommand;
  readonly controlPlane: RunningCommand;
  reload(): Promise<ReloadReport & { code: number | null }>;
  report(): Promise<AgentReport>;
  envoy(): Promise<Extract<AgentReport["envoy"], { child: unknown }>["child"]>;
  answer(): Promise<number>;
  /** Lays fields over the ProxyConfig that the agent reads again. */
  change(fields: Readonly<Record<string, unknown>>): Promise<void>;
}

async function startRig(runtime: Runtime, { args = [], env = {}, proxyConfig = {} }: ProxyOptions = {}): Promise<Rig> {
  const sandbox = await createSandbox(runtime);
  const controlPlane = await sandbox.startControlPlane();
  const { ports, folder } = sandbox;
  const file = join(folder, "proxy.yaml");
  const base = {
    discoveryAddress: `localhost:${ports.controlPlane}`,
    proxyAdminPort: ports.admin,
    statusPort: ports.status,
    drainDuration: "1s",
    terminationDrainDuration: "0s",
    ...proxyConfig,
  };
  const change = (fields: Readonly<Record<string, unknown>>): Promise<void> =>
    writeFile(file, JSON.stringify({ ...base, ...fields }));
  await change({});
  const proxy = await sandbox.startProxy({
    args: ["--proxy-config", file, ...args],
    env: { ...ENV, PROXY_CONFIG: "", ...env },
  });
  await proxy.waitFor(/Readiness succeeded/);
  return {
    sandbox,
    proxy,
    controlPlane,
    change,
    async reload() {
      const { code, stdout } = await run(runtime, ["reload", "--force", "--run-folder", folder, "-o", "json"]);
      return { code, ...(JSON.parse(stdout) as ReloadReport) };
    },
    report: () => report(ports.status),
    async envoy() {
      const { envoy } = await report(ports.status);
      if (!("child" in envoy)) throw new Error(`Envoy is ${envoy.kind}`);
      return envoy.child;
    },
    async answer() {
      return (await fetch(`http://127.0.0.1:${ports.outbound}/hello`)).status;
    },
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      await controlPlane[Symbol.asyncDispose]();
      await sandbox[Symbol.asyncDispose]();
    },
  };
}

describe.each(runtimes())("hot restart, $name", (runtime) => {
  test("a reload puts the next epoch in the place of the old one, and nothing is left of either", async () => {
    await using rig = await startRig(runtime);
    const first = await rig.envoy();
    const shared = await sharedMemoryOf(first.pid);
    expect(existsSync(shared)).toBe(process.platform === "linux");
    await rig.change({ concurrency: 1 });
    const report = await rig.reload();
    expect(report).toMatchObject({ code: 0, outcome: "replaced" });
    expect(report.changes).toContain('+ arguments.--concurrency: "1"');
    const second = await rig.envoy();
    expect(second).toMatchObject({ epoch: 1, pid: report.pid });
    expect(second.pid).not.toBe(first.pid);
    expect(await rig.answer()).toBe(200);
    await expect.poll(() => isAlive(first.pid)).toBe(false);
    rig.proxy.kill("SIGTERM");
    expect(await rig.proxy.ended).toMatchObject({ code: 0 });
    expect(isAlive(second.pid)).toBe(false);
    expect(existsSync(shared)).toBe(false);
    expect(existsSync(join(rig.sandbox.folder, "etc/istio/proxy/envoy-rev.json"))).toBe(false);
  });

  test("what cannot come up is refused, says why, and the old one serves on; the next good one takes over", async () => {
    await using rig = await startRig(runtime);
    const { pid } = await rig.envoy();
    const refusal = async (fields: Readonly<Record<string, unknown>>): Promise<string> => {
      await rig.change(fields);
      const report = await rig.reload();
      expect(report).toMatchObject({ code: 1, outcome: "refused", pid });
      expect(await rig.answer()).toBe(200);
      return report.reason ?? "";
    };
    await using taken = await bindTcp("127.0.0.1", 0);
    const template = async (text: string): Promise<string> => {
      const file = join(rig.sandbox.folder, "template.json");
      await writeFile(file, text);
      return file;
    };
    expect(await refusal({ drainDuration: "soon" })).toContain("drainDuration");
    expect(await refusal({ statusPort: 1 })).toContain("Cannot change statusPort while the agent runs");
    const refusedTemplate = async (text: string) => refusal({ proxyBootstrapTemplatePath: await template(text) });
    const { admin } = rig.sandbox.ports;
    expect(await refusedTemplate(bootstrap(admin, taken.port))).toContain(`127.0.0.1:${taken.port}`);
    expect(await refusedTemplate(bootstrap(taken.port))).toContain("Cannot change the address of Envoy's admin");
    expect(await refusedTemplate('{"admin": 7}')).toMatch(/Envoy refuses the configuration: .*admin/);
    await rig.change({});
    expect(await rig.reload()).toMatchObject({ code: 0, outcome: "replaced" });
    expect(await rig.answer()).toBe(200);
  });

  test("a next epoch that dies on the way leaves the old one serving, and another may follow", async () => {
    await using rig = await startRig(runtime);
    const { pid } = await rig.envoy();
    rig.controlPlane.kill("SIGSTOP"); // so that the next one cannot be live
    const reloading = rig.reload();
    process.kill(await nextEnvoy(rig, pid), "SIGKILL");
    const reason = expect.stringContaining("SIGKILL");
    expect(await reloading).toMatchObject({ code: 1, outcome: "refused", pid, reason });
    expect(await rig.answer()).toBe(200);
    rig.controlPlane.kill("SIGCONT");
    expect(await rig.reload()).toMatchObject({ code: 0, outcome: "replaced" });
  });

  test("a next epoch that is ended in order may take the old one along: either way one serves, and another follows", async () => {
    await using rig = await startRig(runtime);
    const { pid } = await rig.envoy();
    rig.controlPlane.kill("SIGSTOP");
    const reloading = rig.reload();
    const next = await nextEnvoy(rig, pid);
    await rig.proxy.waitFor(/shutting down admin due to child startup/);
    process.kill(next, "SIGTERM");
    expect(await reloading).toMatchObject({ code: 1, outcome: "refused" });
    rig.controlPlane.kill("SIGCONT");
    await expect.poll(() => rig.answer().catch(() => 0)).toBe(200);
    await expect.poll(async () => await outcomeOf(rig.reload())).toBe("replaced");
    expect(await rig.answer()).toBe(200);
  });

  test("without a control plane a reload is refused, says what can be done, and nothing is lost by it", async () => {
    await using rig = await startRig(runtime);
    const { pid } = await rig.envoy();
    await stopControlPlane(rig);
    const reason = expect.stringMatching(/^Cannot start the next Envoy without a configuration: .*ECONNREFUSED/);
    const hint = expect.stringMatching(/^Reload again once the control plane answers, or .*PILOTBOAT_LAST_GOOD/);
    expect(await rig.reload()).toMatchObject({ code: 1, outcome: "refused", pid, reason, hint });
    const { stdout } = await run(runtime, ["reload", "--force", "--run-folder", rig.sandbox.folder]);
    expect(stdout).toMatch(/^ {2}hint: Reload again once/m);
    expect((await fetch(`http://127.0.0.1:${rig.sandbox.ports.admin}/ready`)).status).toBe(200);
  });

  test("without a control plane the next epoch gets the last-good configuration, where one is kept that is its own", async () => {
    await using rig = await startRig(runtime, { env: { PILOTBOAT_LAST_GOOD: "true" } });
    const { pid } = await rig.envoy();
    await stopControlPlane(rig);
    await rig.change({ proxyMetadata: { ISTIO_META_OTHER: "node" } });
    const reason = expect.stringContaining("there is no last-good configuration of the next Envoy's labels");
    expect(await rig.reload()).toMatchObject({ code: 1, outcome: "refused", pid, reason });
    await refuseOneThatGotLastGood(rig, pid);
    await rig.change({ concurrency: 1 });
    expect(await rig.reload()).toMatchObject({ code: 0, outcome: "replaced" });
    expect(await rig.answer()).toBe(200);
    expect(await rig.report()).toMatchObject({ stale: { acceptedMs: expect.any(Number) } });

    await using _again = await rig.sandbox.startControlPlane();
    await expect.poll(async () => (await rig.report()).stale, { timeout: 30_000 }).toBeUndefined();
    await rig.change({ proxyMetadata: { ISTIO_META_OTHER: "node" } });
    expect(await rig.reload()).toMatchObject({ code: 0, outcome: "replaced" });
    const kept = join(rig.sandbox.folder, "etc/istio/proxy/last-good");
    await expect.poll(() => readdir(kept), { timeout: 30_000 }).toHaveLength(2); // another node's is another log
  });

  test("an epoch whose successor has crashed is ended when its time is over, and another reload follows", async () => {
    await using rig = await startRig(runtime);
    const { pid: first } = await rig.envoy();
    const { pid: second = 0 } = await rig.reload();
    process.kill(second, "SIGSEGV");
    await rig.proxy.waitFor(/Envoy crashed: signal: segmentation fault/);
    await expect.poll(() => rig.answer().catch(() => 0)).toBe(200);
    expect(await rig.reload()).toMatchObject({ code: 0, outcome: "replaced" });
    expect(isAlive(first)).toBe(false);
  });

  test("SIGTERM in the middle of a reload drains whoever serves, and ends everything", async () => {
    await using rig = await startRig(runtime, { proxyConfig: { terminationDrainDuration: "200ms" } });
    const { pid } = await rig.envoy();
    void rig.reload().catch(() => undefined); // its answer may be cut off by the end
    const next = await nextEnvoy(rig, pid);
    rig.proxy.kill("SIGTERM");
    expect(await rig.proxy.ended).toMatchObject({ code: 0 });
    expect(rig.proxy.stdout()).not.toContain("Cannot request the drain");
    expect([isAlive(pid), isAlive(next)]).toEqual([false, false]);
  });

  test("after POST /drain the next epoch is drained anew", async () => {
    await using rig = await startRig(runtime, { proxyConfig: { terminationDrainDuration: "300ms" } });
    await fetch(`http://127.0.0.1:${rig.sandbox.ports.status}/drain`, { method: "POST" });
    await rig.reload();
    rig.proxy.kill("SIGTERM");
    expect(await rig.proxy.ended).toMatchObject({ code: 0 });
    expect(rig.proxy.stdout()).toContain("Stopping: drain inbound listeners, wait 300 ms");
  });

  test("a bootstrap of the user's own keeps its name, whatever that is", async () => {
    await using rig = await startRig(runtime);
    const own = join(rig.sandbox.folder, "my.next.json");
    const served = await readFile(join(rig.sandbox.folder, "etc/istio/proxy/envoy-rev.json"), "utf8");
    await rig.proxy[Symbol.asyncDispose]();
    await writeFile(own, served);
    await rig.change({ customConfigFile: own });
    await using again = await rig.sandbox.startProxy({
      args: ["--proxy-config", join(rig.sandbox.folder, "proxy.yaml")],
      env: { ...ENV, PROXY_CONFIG: "" },
    });
    await again.waitFor(/Readiness succeeded/);
    expect(await rig.reload()).toMatchObject({ code: 0, outcome: "replaced" });
    expect(await readFile(own, "utf8")).toBe(served);
  });

  test("with --watch a changed file is enough; the next reload waits for the drain, and says so", async () => {
    await using rig = await startRig(runtime, { args: ["--watch"] });
    await rig.change({ concurrency: 1 });
    await rig.proxy.waitFor(/Reload: the next Envoy is active/);
    expect(await rig.envoy()).toMatchObject({ epoch: 1 });
    await rig.change({ concurrency: 2 });
    await rig.proxy.waitFor(/Reload: waiting for a previous Envoy/);
    await rig.change({ concurrency: 3 }); // the last word counts, also while it waits
    await rig.proxy.waitFor(/Reload: ~ arguments.--concurrency: "1" -> "3"[\s\S]*the next Envoy is active/);
    expect(rig.proxy.stdout()).toContain('Reload: + arguments.--concurrency: "1"');
    const { code, stderr } = await run(runtime, ["reload", "--run-folder", rig.sandbox.folder]);
    expect([code, stderr]).toEqual([0, expect.stringContaining("an earlier Envoy still drains")]);
  });

  test("reality 29: a reload passes warnings on, leaves Envoy alone when nothing changed, and says how long a drain takes", async () => {
    await using rig = await startRig(runtime);
    const place = ["--run-folder", rig.sandbox.folder];
    const first = await rig.envoy();
    const unchanged = await run(runtime, ["reload", ...place]);
    expect(unchanged).toMatchObject({ code: 0, stderr: "" });
    expect(unchanged.stdout).toMatch(new RegExp(`^nothing changed, .*pid ${first.pid}`));
    expect(await rig.envoy()).toEqual(first);

    await rig.change({ concurrency: 1, noSuchField: true });
    const replaced = await run(runtime, ["reload", ...place]);
    expect(replaced.code).toBe(0);
    expect(replaced.stderr).toMatch(/^warning: .*noSuchField/m);
    expect(replaced.stdout).toMatch(/^replaced: pid \d+, \d+ ms; the previous Envoy drains for at most \d+ s$/m);
    expect((await run(runtime, ["reload", ...place])).stderr).toMatch(/still drains, for at most \d+ s more/);
  });

  test("one that crashes after a takeover is started with the configuration that it had, and leaves evidence", async () => {
    await using rig = await startRig(runtime);
    await rig.change({ concurrency: 1 });
    const { pid = 0 } = await rig.reload();
    process.kill(pid, "SIGSEGV");
    const [, evidence = ""] = await rig.proxy.waitFor(/Envoy crashed: signal: segmentation fault.*; evidence in (\S+)/);
    await expect.poll(async () => (await rig.envoy().catch(() => undefined))?.epoch).toBe(0);
    await expect.poll(() => rig.answer().catch(() => 0)).toBe(200);
    const report = JSON.parse(await readFile(join(evidence, "report.json"), "utf8")) as { args: string[] };
    expect(report.args).toContain("--concurrency");
    expect(await readdir(evidence)).toContain("bootstrap.json");
  });
});

/** Resolves when the agent has noticed. */
async function stopControlPlane(rig: Rig): Promise<void> {
  await rig.controlPlane[Symbol.asyncDispose]();
  await expect.poll(async () => (await rig.report()).controlPlane.state).not.toMatch(/^(responding|connected)$/);
}

/** The test stands for a next Envoy, which gets the last-good configuration and dies; the process that the agent starts only waits. */
async function refuseOneThatGotLastGood(rig: Rig, pid: number): Promise<void> {
  const { folder } = rig.sandbox;
  const { xds } = await rig.report();
  const binaryPath = join(folder, "waits");
  const script = `#!/bin/sh\ncase "$*" in *--version* | *--mode*) exec ${await realEnvoy()} "$@" ;; esac\nexec sleep 600\n`;
  await writeFile(binaryPath, script, { mode: 0o755 });
  await rig.change({ binaryPath });
  const reloading = rig.reload();
  const next = await nextEnvoy(rig, pid);
  using client = connectAds(join(folder, "etc/istio/proxy/XDS"));
  const stream = client.open("delta");
  const node = "sidecar~127.0.0.1~quickstart.default~default.svc.cluster.local";
  stream.request({ typeUrl: CLUSTER_TYPE, node, userAgent: "envoy" });
  stream.request({ typeUrl: LISTENER_TYPE });
  await expect.poll(() => stream.received.length).toBe(2);
  expect(await rig.report()).toMatchObject({ stale: { acceptedMs: expect.any(Number) } });
  process.kill(next, "SIGKILL");
  expect(await reloading).toMatchObject({ code: 1, outcome: "refused", pid });
  const after = await rig.report();
  expect(after.stale).toBeUndefined();
  expect(after.xds).toEqual(xds);
}

/** With the reason of a refusal, which is what one wants to read when it was not expected. */
async function outcomeOf(reloading: Promise<ReloadReport>): Promise<string> {
  const { outcome, reason } = await reloading;
  return reason === undefined ? outcome : `${outcome}: ${reason}`;
}

async function report(statusPort: number): Promise<AgentReport> {
  return (await (await fetch(`http://127.0.0.1:${statusPort}/debug/agent`)).json()) as AgentReport;
}

/** Where an Envoy with hot restart keeps what its epochs share. */
async function sharedMemoryOf(pid: number): Promise<string> {
  const words = (await readFile(`/proc/${pid}/cmdline`, "utf8")).split("\0");
  return `/dev/shm/envoy_shared_memory_${words[words.indexOf("--base-id") + 1]}0`;
}

/** The pid of the epoch that comes up beside `old`. */
async function nextEnvoy({ sandbox }: Rig, old: number): Promise<number> {
  const file = join(sandbox.folder, "etc/istio/proxy/agent.json");
  let pid: number | undefined;
  await expect
    .poll(async () => {
      const { envoys } = JSON.parse(await readFile(file, "utf8")) as RunFile;
      pid = envoys.map((mark) => mark.pid).find((one) => one !== old);
      return pid;
    })
    .toBeDefined();
  return pid ?? 0;
}

function bootstrap(adminPort: number, listenerPort?: number): string {
  const at = (port: number) => ({ socket_address: { address: "127.0.0.1", port_value: port } });
  const listeners = listenerPort === undefined ? [] : [{ name: "one", address: at(listenerPort), filter_chains: [{}] }];
  return JSON.stringify({ admin: { address: at(adminPort) }, static_resources: { listeners } });
}
