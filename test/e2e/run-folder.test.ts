import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { RunFile } from "../../src/agent/run-folder/index.ts";
import { isSameEnvoy } from "../../src/envoy/left-behind/index.ts";
import { startOf } from "../../src/host/index.ts";
import { type RunningCommand, type Runtime, run, runtimes, start } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { isAlive, processesIn } from "../support/processes.ts";
import { realEnvoy } from "../support/real-envoy.ts";

let folder: string;
let runFile: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-folder-"));
  runFile = join(folder, "etc/istio/proxy/agent.json");
});
afterEach(async () => {
  const { envoys } = await readRunFile().catch(() => ({ envoys: [] }));
  for (const mark of envoys) if (await isSameEnvoy(mark)) process.kill(mark.pid, "SIGKILL");
  await expect.poll(() => processesIn(folder)).toEqual([]);
  await rm(folder, { recursive: true, force: true });
});

/** No control plane: Envoy runs and waits for one. Without `setpriv` on PATH it outlives a killed agent. */
async function startProxy(runtime: Runtime, env: Readonly<Record<string, string>> = {}): Promise<RunningCommand> {
  const [admin = 0, status = 0, envoyStatus = 0, prometheus = 0] = await freePorts(4);
  await mkdir(join(folder, "var/run/secrets/istio"), { recursive: true });
  await writeFile(join(folder, "var/run/secrets/istio/root-cert.pem"), await anyCertificate());
  await mkdir(join(folder, "bin"), { recursive: true });
  for (const tool of ["sh", "ps"]) {
    await symlink(`/bin/${tool}`, join(folder, "bin", tool)).catch(() => undefined); // a second start finds them
  }
  return start(runtime, ["proxy", "sidecar"], {
    cwd: folder,
    env: {
      PATH: join(folder, "bin"),
      PROXY_CONFIG: JSON.stringify({
        discoveryAddress: "localhost:1",
        binaryPath: await realEnvoy(),
        proxyAdminPort: admin,
        statusPort: status,
        controlPlaneAuthPolicy: "NONE",
        terminationDrainDuration: "0s",
      }),
      POD_NAME: "p",
      POD_NAMESPACE: "n",
      SERVICE_ACCOUNT: "s",
      INSTANCE_IP: "127.0.0.1",
      ENVOY_STATUS_PORT: String(envoyStatus),
      ENVOY_PROMETHEUS_PORT: String(prometheus),
      ...env,
    },
  });
}

async function anyCertificate(): Promise<string> {
  const words = ["-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", "/dev/null"];
  return (await promisify(execFile)("openssl", ["req", ...words, "-subj", "/O=test"])).stdout;
}

async function readRunFile(): Promise<RunFile> {
  return JSON.parse(await readFile(runFile, "utf8")) as RunFile;
}

/** Waits until the agent of this pid has noted its Envoy, and gives that one's pid. */
async function envoyOf(agentPid: number): Promise<number> {
  const found = await expect
    .poll(async () => {
      const { pid, envoys } = await readRunFile().catch(() => ({ pid: 0, envoys: [] }));
      return pid === agentPid ? envoys : [];
    })
    .toHaveLength(1)
    .then(readRunFile);
  return found.envoys[0]?.pid ?? 0;
}

describe.each(runtimes())("the run folder on $name", (runtime) => {
  test("an Envoy that a killed agent left behind is ended by the next one", async () => {
    await using killed = await startProxy(runtime);
    const stale = await envoyOf(killed.pid);
    killed.kill("SIGKILL");
    await expect.poll(() => isAlive(killed.pid)).toBe(false);
    expect(isAlive(stale)).toBe(true);

    await using next = await startProxy(runtime);
    await next.waitFor(new RegExp(`Stopped the Envoy that an earlier agent left behind\\tpid=${stale}\\b`));
    expect(isAlive(stale)).toBe(false);
    const fresh = await envoyOf(next.pid);
    expect(isAlive(fresh)).toBe(true);
    next.kill("SIGTERM");
    expect((await next.ended).code).toBe(0);
    expect(isAlive(fresh)).toBe(false);
    await expect(readRunFile()).rejects.toThrow("ENOENT");
  });

  test.skipIf(process.platform !== "linux")("the shared memory of a hot restart does not outlive a kill", async () => {
    await using killed = await startProxy(runtime, { PILOTBOAT_HOT_RESTART: "true" });
    const envoy = await envoyOf(killed.pid);
    const baseId = async () => (await readRunFile()).envoys[0]?.baseId; // noted a little after the spawn
    await expect.poll(baseId).toBeDefined();
    const memory = `/dev/shm/envoy_shared_memory_${await baseId()}0`;
    await expect.poll(() => existsSync(memory)).toBe(true);
    killed.kill("SIGKILL");
    await expect.poll(() => isAlive(killed.pid)).toBe(false);
    process.kill(envoy, "SIGKILL");
    await expect.poll(() => isAlive(envoy)).toBe(false);
    expect(existsSync(memory)).toBe(true);

    await using next = await startProxy(runtime);
    await envoyOf(next.pid);
    expect(existsSync(memory)).toBe(false);
  });

  test("a second agent does not start where one lives", async () => {
    await using first = await startProxy(runtime);
    const envoy = await envoyOf(first.pid);
    await using second = await startProxy(runtime);
    const { code } = await second.ended;
    expect(code).toBe(1);
    expect(second.stderr()).toContain(`the agent with pid ${first.pid} runs there [RUN_FOLDER_IN_USE]`);
    expect(isAlive(envoy)).toBe(true);
    expect((await readRunFile()).pid).toBe(first.pid);
    const status = await run(runtime, ["status", "--run-folder", folder]);
    expect(status.stdout).toContain(`pid ${first.pid}`);
  });

  test("a process that got the pid of an Envoy of old is left alone", async () => {
    const stranger = start(runtime, ["control-plane", "--dir", folder, "--port", "0"]);
    await using _stranger = stranger;
    const { pid } = stranger;
    const binary = await realEnvoy();
    const mark = { pid, start: `${await startOf(pid)}`, binary, configFile: "etc/istio/proxy/envoy-rev.json" };
    await mkdir(dirname(runFile), { recursive: true });
    await writeFile(runFile, JSON.stringify({ pid, start: "long ago", statusPort: 1, envoys: [mark] }));
    await using agent = await startProxy(runtime);
    await envoyOf(agent.pid);
    expect(isAlive(pid)).toBe(true);
  });

  test("the Envoy that is started again takes the place of the one that ended", async () => {
    await using agent = await startProxy(runtime, { PILOTBOAT_RESTART: "always" });
    const first = await envoyOf(agent.pid);
    process.kill(first, "SIGKILL");
    await expect.poll(async () => (await readRunFile()).envoys.map(({ pid }) => pid)).not.toContain(first);
    const again = await envoyOf(agent.pid);
    expect(isAlive(again)).toBe(true);
  });
});
