import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import type { AgentReport, ReloadReport } from "../../src/agent/index.ts";
import { type Runtime, run, runtimes, start } from "../support/pilotboat.ts";
import { isAlive } from "../support/processes.ts";
import { createSandbox } from "../support/sandbox.ts";

const HOT = { PILOTBOAT_HOT_RESTART: "true", PILOTBOAT_PARENT_SHUTDOWN: "1s" };
const TEST_LIMIT_MS = 120_000;

describe.each(runtimes())("a configuration that is edited while it runs, $name", (runtime) => {
  test(
    "run reads it again for a reload; its own defaults stay",
    async () => {
      await using rig = await startRun(runtime);
      await rig.write({ concurrency: 1 });
      const report = await rig.reload();
      expect(report).toMatchObject({ outcome: "replaced" });
      expect(report.changes).toContain('+ arguments.--concurrency: "1"');
      expect(report.changes.filter((one) => one.includes("port_value"))).toEqual([]); // the free ports are the same
      await rig.write({ concurrency: 1, statusPort: 1 });
      const reason = "Cannot change statusPort while the agent runs";
      expect(await rig.reload()).toMatchObject({ outcome: "refused", reason, hint: "Restart the agent" });
      rig.command.kill("SIGTERM");
      expect(await rig.command.ended).toEqual({ code: 143, signal: null });
    },
    TEST_LIMIT_MS,
  );

  test(
    "run with --watch reads it again by itself",
    async () => {
      await using rig = await startRun(runtime, ["--watch"]);
      await rig.write({ concurrency: 1 });
      const [, pid = ""] = await rig.command.waitFor(/Reload: the next Envoy is active\tpid=(\d+)/);
      expect(rig.command.stderr()).toContain('Reload: + arguments.--concurrency: "1"');
      expect(isAlive(Number(pid))).toBe(true);
    },
    TEST_LIMIT_MS,
  );

  test(
    "up reads its mesh file again for a reload",
    async () => {
      const folder = await mkdtemp(join(tmpdir(), "pb-again-"));
      onTestFinished(() => rm(folder, { recursive: true, force: true }));
      await using command = start(runtime, ["up"], { cwd: folder, env: { ...HOT, TMPDIR: folder } });
      await command.waitFor(/^Ctrl-C stops everything/m);
      const [, runFolder = ""] = /^folder +(\S+)$/m.exec(command.stdout()) ?? [];
      await mkdir(join(runFolder, "etc/istio/config"), { recursive: true });
      await writeFile(join(runFolder, "etc/istio/config/mesh"), "defaultConfig:\n  concurrency: 1\n");
      const { code, stdout } = await run(runtime, ["reload", runFolder]);
      expect(stdout).toMatch(/^\+ arguments\.--concurrency: "1"\n[\s\S]*^replaced: pid \d+/m);
      expect(code).toBe(0);
    },
    TEST_LIMIT_MS,
  );

  test(
    "a longer drainDuration holds for the Envoy that was started with it",
    async () => {
      await using sandbox = await createSandbox(runtime);
      await using _controlPlane = await sandbox.startControlPlane();
      const file = join(sandbox.folder, "proxy.json");
      const { controlPlane, admin, status } = sandbox.ports;
      const fields = { discoveryAddress: `localhost:${controlPlane}`, proxyAdminPort: admin, statusPort: status };
      const write = (drainDuration: string): Promise<void> =>
        writeFile(file, JSON.stringify({ ...fields, terminationDrainDuration: "0s", drainDuration }));
      await write("1s");
      const env = { PILOTBOAT_HOT_RESTART: "true", PROXY_CONFIG: "" };
      await using proxy = await sandbox.startProxy({ args: ["--proxy-config", file], env });
      await proxy.waitFor(/Readiness succeeded/);
      const first = await envoyOf(status);
      await write("300s");
      const second = await sandbox.reload();
      expect(second).toMatchObject({ outcome: "replaced" });
      expect(second.changes).toContain('~ arguments.--drain-time-s: "1" -> "300"');
      expect(second.drainLeftSeconds).toBeLessThanOrEqual(16); // of the one that was started with 1 s
      await expect.poll(() => isAlive(first), { timeout: 40_000, interval: 500 }).toBe(false);
      const third = await sandbox.reload();
      expect(third).toMatchObject({ outcome: "replaced" });
      expect(third.drainLeftSeconds).toBeGreaterThan(300);
      const words = (await readFile(`/proc/${third.pid}/cmdline`, "utf8")).split("\0");
      expect(words[words.indexOf("--parent-shutdown-time-s") + 1]).toBe("315");
      expect(isAlive(second.pid ?? 0)).toBe(true);
    },
    TEST_LIMIT_MS,
  );

  test("no web page ends the proxy, and a client of this machine does", async () => {
    await using sandbox = await createSandbox(runtime);
    await using _controlPlane = await sandbox.startControlPlane();
    await using proxy = await sandbox.startProxy();
    await proxy.waitFor(/Readiness succeeded/);
    const { status, outbound } = sandbox.ports;
    const post = async (path: string, headers: Readonly<Record<string, string>> = {}): Promise<number> =>
      (await fetch(`http://127.0.0.1:${status}${path}`, { method: "POST", headers })).status;
    for (const path of ["/quitquitquit", "/drain", "/reload"]) {
      expect(await post(path, { Origin: "https://evil.example" })).toBe(403);
    }
    expect((await fetch(`http://127.0.0.1:${outbound}/hello`)).status).toBe(200);
    expect(await post("/quitquitquit")).toBe(200);
    expect((await proxy.ended).code).toBe(0);
  });
});

async function envoyOf(statusPort: number): Promise<number> {
  const report = (await (await fetch(`http://127.0.0.1:${statusPort}/debug/agent`)).json()) as AgentReport;
  if (!("child" in report.envoy)) throw new Error(`Envoy is ${report.envoy.kind}`);
  return report.envoy.child.pid;
}

/** `run` beside an application that stays, with a file of the ProxyConfig. */
async function startRun(runtime: Runtime, more: readonly string[] = []) {
  const sandbox = await createSandbox(runtime);
  const controlPlane = await sandbox.startControlPlane();
  const { binaryPath } = JSON.parse((await sandbox.proxyEnvironment({})).PROXY_CONFIG ?? "") as { binaryPath: string };
  const file = join(sandbox.folder, "proxy.json");
  const write = (fields: object): Promise<void> =>
    writeFile(
      file,
      JSON.stringify({ discoveryAddress: `localhost:${sandbox.ports.controlPlane}`, binaryPath, ...fields }),
    );
  await write({});
  const flags = ["--proxy-config", file, "--hot-restart", "--verbose", ...more];
  const {
    PROXY_CONFIG: _,
    ENVOY_STATUS_PORT: _s,
    ENVOY_PROMETHEUS_PORT: _p,
    ...words
  } = await sandbox.proxyEnvironment({});
  const command = start(runtime, ["run", ...flags, "--", "sleep", "600"], {
    cwd: sandbox.folder,
    env: { ...words, ...HOT },
  });
  await command.waitFor(/The application runs/);
  const [, statusUrl = ""] = /status +(http:\S+)\/healthz/.exec(command.stderr()) ?? [];
  return {
    command,
    write,
    async reload() {
      return (await (await fetch(`${statusUrl}/reload`, { method: "POST" })).json()) as ReloadReport;
    },
    async [Symbol.asyncDispose]() {
      await command[Symbol.asyncDispose]();
      await controlPlane[Symbol.asyncDispose]();
      await sandbox[Symbol.asyncDispose]();
    },
  };
}
