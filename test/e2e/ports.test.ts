import { chmod, cp, mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { freePortDefaults } from "../../src/agent/run-agent.ts";
import { loadConfig } from "../../src/config/index.ts";
import { asStranger } from "../security/users.ts";
import { run, runtimes } from "../support/pilotboat.ts";
import { createSandbox } from "../support/sandbox.ts";

const TEST_LIMIT_MS = 60_000;
const IDENTITY = { POD_NAME: "p", POD_NAMESPACE: "default", SERVICE_ACCOUNT: "p", INSTANCE_IP: "127.0.0.1" };

/** Undefined where somebody else has it already, which serves as well. */
function take(port: number): Promise<Server | undefined> {
  return new Promise((done) => {
    const server = createServer();
    server.once("error", () => done(undefined));
    server.listen(port, () => done(server));
  });
}

/** The TCP ports on which a process listens. Linux. */
async function listenersOf(pid: number): Promise<number[]> {
  const links = (await readdir(`/proc/${pid}/fd`)).map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => ""));
  const sockets = new Set(await Promise.all(links));
  const tables = await Promise.all(["tcp", "tcp6"].map((name) => readFile(`/proc/${pid}/net/${name}`, "utf8")));
  return tables.flatMap((table) =>
    table.split("\n").flatMap((line) => {
      const words = line.trim().split(/\s+/);
      const isListening = words[3] === "0A" && sockets.has(`socket:[${words[9]}]`);
      return isListening ? [Number.parseInt(words[1]?.split(":")[1] ?? "", 16)] : [];
    }),
  );
}

describe.runIf(process.platform === "linux").each(runtimes())("ports that are taken, on $name", (runtime) => {
  test("reality 27: all of them are told at once, with who has them and what to do", async () => {
    await using sandbox = await createSandbox(runtime);
    const { status, admin, envoyStatus, prometheus } = sandbox.ports;
    const servers = await Promise.all([status, admin, envoyStatus, prometheus].map(take));
    await using agent = await sandbox.startProxy();
    expect((await agent.ended).code).toBe(1);
    for (const server of servers) server?.close();
    for (const port of [status, admin, envoyStatus, prometheus]) {
      expect(agent.stderr()).toMatch(new RegExp(`:${port}": in use by \\S+ \\(pid ${process.pid}\\), for `));
    }
    expect(agent.stderr()).toMatch(
      /hint: .*--free-ports, or set ENVOY_STATUS_PORT and .*statusPort and proxyAdminPort/,
    );
  });

  test(
    "reality 27: a port that another agent's Envoy listens on as well is warned of",
    async () => {
      await using first = await createSandbox(runtime);
      await using second = await createSandbox(runtime);
      await using _controlPlane = await first.startControlPlane();
      await using agent = await first.startProxy();
      await agent.waitFor(/Start: .*ready/);
      await cp(join(first.folder, "var/run/secrets"), join(second.folder, "var/run/secrets"), {
        recursive: true,
        filter: (path) => !path.includes("workload-spiffe-uds"),
      });
      const discoveryAddress = `localhost:${first.ports.controlPlane}`;
      await using other = await second.startProxy({ proxyConfig: { discoveryAddress } });
      const warning = new RegExp(`warn\tEnvoy shares port ${first.ports.outbound} with envoy \\(pid \\d+\\)`);
      await other.waitFor(warning);
      expect(agent.stdout()).not.toMatch(/shares port/);
    },
    TEST_LIMIT_MS,
  );
});

describe.each(runtimes())("ports that are chosen, on $name", (runtime) => {
  test(
    "reality 27: with --free-ports a second proxy runs beside a first, on what nobody has taken or set",
    async () => {
      await using sandbox = await createSandbox(runtime);
      await using _controlPlane = await sandbox.startControlPlane();
      const isOurs = await Promise.all([15_000, 15_020, 15_021, 15_090].map(take));
      const { discoveryAddress, binaryPath } = JSON.parse(
        (await sandbox.proxyEnvironment({})).PROXY_CONFIG ?? "",
      ) as Record<string, string>;
      const env = {
        PROXY_CONFIG: JSON.stringify({ discoveryAddress, binaryPath, terminationDrainDuration: "0s" }),
        ENVOY_PROMETHEUS_PORT: String(sandbox.ports.prometheus),
      };
      await using agent = await sandbox.startProxy({ args: ["--free-ports"], env: { ...env, ENVOY_STATUS_PORT: "" } });
      await agent.waitFor(/Start: .*ready/);
      const [, ports = ""] = await agent.waitFor(/Ports: (.*)/);
      const numbers = [...ports.matchAll(/\d{4,}/g)].map(([port]) => Number(port));
      expect(new Set(numbers).size).toBe(4);
      expect(numbers).toContain(sandbox.ports.prometheus);
      for (const taken of [15_000, 15_020, 15_021]) expect(numbers).not.toContain(taken);
      const status = await run(runtime, ["status"], { cwd: sandbox.folder });
      expect(status).toMatchObject({ code: 0, stdout: expect.stringContaining("responding") });
      for (const server of isOurs) server?.close();
    },
    TEST_LIMIT_MS,
  );

  test("a status port of 0 is no status server, and the proxy gets ready without", async () => {
    await using sandbox = await createSandbox(runtime);
    await using _controlPlane = await sandbox.startControlPlane();
    await mkdir(join(sandbox.folder, "etc/istio/pod"), { recursive: true });
    await writeFile(join(sandbox.folder, "etc/istio/pod/annotations"), 'status.sidecar.istio.io/port="0"');
    await using agent = await sandbox.startProxy();
    await agent.waitFor(/Start: .*ready/);
    expect(agent.stdout()).not.toMatch(/status port/);
    const listening = await listenersOf(agent.pid);
    expect(listening).toEqual([]);
    const status = await run(runtime, ["status"], { cwd: sandbox.folder });
    expect(status.code).toBe(1);
    expect(status.stderr).toContain("its statusPort is 0, so it has no status server");
    agent.kill("SIGTERM");
    expect((await agent.ended).code).toBe(0);
  });
});

test("reality 27: --free-ports replaces what is taken, not what somebody has set", async () => {
  const server = await take(15_020);
  const chosen = async (args: readonly string[], env: Readonly<Record<string, string>> = {}) => {
    const words = { args, env, cwd: "/nowhere" };
    const defaults = await freePortDefaults((await loadConfig(words)).config);
    return (await loadConfig({ ...words, defaults })).config;
  };
  const free = await chosen(["--free-ports"]);
  expect(free.proxy.statusPort).not.toBe(15_020);
  expect(free.origins.get("statusPort")).toEqual({ source: "--free-ports" });

  expect((await chosen(["--free-ports"], { PROXY_CONFIG: "statusPort: 15020" })).proxy.statusPort).toBe(15_020);
  expect((await chosen([])).proxy.statusPort).toBe(15_020);
  server?.close();
});

const isRoot = process.getuid?.() === 0 && process.platform === "linux";
if (!isRoot) console.log("Not root on Linux: no port below 1024 is tried as another user");

describe.runIf(isRoot).each(runtimes())("a port that is free and cannot be had, on $name", ({ name, command }) => {
  /** In a network of its own, where ports below 1024 are privileged whatever the machine allows. */
  const words = ["unshare", "-n", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", ...asStranger(), ...command];

  test.each([
    ["control-plane", ["control-plane", "--dir", resolve("examples/quickstart/xds"), "--port", "80"], {}],
    ["up", ["up", "--port", "80"], {}],
    ["proxy", ["proxy", "sidecar"], { PROXY_CONFIG: '{"statusPort":80}', DISABLE_ENVOY: "true", ...IDENTITY }],
  ])("%s says that it lacks the right", async (_command, args, env) => {
    const folder = await mkdtemp(join(tmpdir(), "pb-ports-"));
    await chmod(folder, 0o777);
    const { code, stderr } = await run({ name, command: words }, args, { cwd: folder, env: { ...env, HOME: folder } });
    await rm(folder, { recursive: true, force: true });
    expect(code).toBe(1);
    expect(stderr).toMatch(/EACCES.*\[ADDRESS_UNUSABLE\]\n {2}hint: \S/);
  });
});
