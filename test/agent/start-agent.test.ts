import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { startAgent } from "../../src/agent/index.ts";
import { bindTcp, createLogger, silentLogger } from "../../src/base/index.ts";
import { writeBootstrap } from "../../src/bootstrap/index.ts";
import { loadConfig } from "../../src/config/index.ts";
import { startControlPlane, writeCredentials } from "../../src/control-plane/index.ts";
import type { Host } from "../../src/host/index.ts";
import { proxyConfigFromJson } from "../../src/istio/mesh/index.ts";
import { startLocalMesh } from "../../src/local/index.ts";
import type { LocalMeshOptions } from "../../src/local/local-mesh.ts";
import { freePorts } from "../support/ports.ts";
import { realEnvoy } from "../support/real-envoy.ts";
import { createTestCa } from "../support/test-ca.ts";

const never = new AbortController().signal;
const host: Host = {
  env: { PATH: process.env.PATH, HOME: process.env.HOME },
  cwd: process.cwd(),
  stdout: process.stdout,
  stderr: process.stderr,
  signals: { stop: never, hurry: never, force: never },
};

/** A mesh of one with a real Envoy; the working directory of this process is not its folder. */
async function start(options: Partial<LocalMeshOptions>) {
  const env = { ...options.env, PILOTBOAT_RESTART: "never" };
  return startLocalMesh({ host, log: silentLogger, envoy: await realEnvoy(), ...options, env });
}

async function hasIpv6(): Promise<boolean> {
  const server = createServer();
  const isThere = await new Promise<boolean>((done) => {
    server.once("error", () => done(false)).listen(0, "::1", () => done(true));
  });
  server.close();
  return isThere;
}

/** An IPv4 address beside the given one makes the addresses mixed; with no interface at all loopback does. */
function hasIpv4(): boolean {
  const outer = Object.values(networkInterfaces()).flatMap((list = []) => list.filter(({ internal }) => !internal));
  return outer.length === 0 || outer.some(({ family }) => family === "IPv4");
}

const canBeDual = (await hasIpv6()) && hasIpv4();

test.skipIf(!canBeDual)("dual stack with IPv6 first: the agent asks and drains Envoy where it listens", async () => {
  const lines: string[] = [];
  const log = createLogger({ write: (line) => void lines.push(line), levels: new Map([["default", "debug"]]) });
  await using mesh = await start({ log, env: { INSTANCE_IP: "2001:db8::2", ISTIO_DUAL_STACK: "true" } });
  expect(mesh.agent.node.addresses).toContainEqual(expect.stringMatching(/^[\d.]+$/));
  await mesh.agent.ready;
  expect((await fetch(`http://[::1]:${mesh.ports.admin}/ready`)).status).toBe(200);
  await mesh.agent.drain();
  expect(lines.filter((line) => /Drain requested|Cannot request/.test(line))).toEqual([
    expect.stringMatching(/Drain requested\t.*body=OK/),
  ]);
});

test("asked to stop while it begins to serve, the agent opens nothing more", async () => {
  const stop = new AbortController();
  const lines: string[] = [];
  const write = (line: string): void => {
    lines.push(line);
    if (line.includes("Opening status port")) stop.abort(new Error("received signal SIGTERM"));
  };
  const log = createLogger({ write, levels: new Map([["default", "debug"]]) });
  const asked: Host = { ...host, signals: { stop: stop.signal, hurry: never, force: never } };
  await expect(start({ host: asked, log })).rejects.toMatchObject({ code: "STOPPED" });
  expect(lines.filter((line) => /SDS server/i.test(line))).toEqual([]);
  expect(lines).toContainEqual(expect.stringContaining("Opening status port"));
});

/** An agent in a folder that others may enter but not make, whose control plane has no resources. */
async function startInFolder(folder: string, proxyConfig: object, env: Readonly<Record<string, string>>) {
  const resources = await mkdtemp(join(folder, "xds-"));
  const controlPlane = await startControlPlane({ resources, log: silentLogger }, never);
  await writeCredentials(controlPlane, folder, { namespace: "default", serviceAccount: "web" });
  const [admin, status, envoyStatus, prometheus] = await freePorts(4);
  const { config } = await loadConfig({
    args: ["--run-folder", folder],
    cwd: host.cwd,
    env: {
      POD_NAMESPACE: "default",
      SERVICE_ACCOUNT: "web",
      INSTANCE_IP: "127.0.0.1",
      ENVOY_STATUS_PORT: String(envoyStatus),
      ENVOY_PROMETHEUS_PORT: String(prometheus),
      PROXY_CONFIG: JSON.stringify({
        discoveryAddress: `localhost:${controlPlane.port}`,
        proxyAdminPort: admin,
        statusPort: status,
        terminationDrainDuration: "0s",
        ...proxyConfig,
      }),
      ...env,
    },
  });
  const agent = await startAgent(config, { host, log: silentLogger });
  return {
    agent,
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]();
      await controlPlane[Symbol.asyncDispose]();
    },
  };
}

// becoming another user takes root; everybody else's Envoy stays themselves
test.skipIf(process.getuid?.() !== 0)(
  "as root with DNS on port 53, Envoy runs as 1337 and reads its files",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "pb-root-"));
    try {
      await chmod(folder, 0o711);
      const binaryPath = join(folder, "envoy"); // root's cache is closed to others
      await copyFile(await realEnvoy(), binaryPath);
      await chmod(binaryPath, 0o755);
      await using one = await startInFolder(folder, { binaryPath }, { DNS_PROXY_ADDR: "localhost:53" });
      await expect
        .poll(() => readFile(`/proc/${one.agent.envoyPid()}/status`, "utf8"))
        .toMatch(/^Name:\s+envoy[\s\S]*^Uid:\s+1337\s[\s\S]*^Gid:\s+1337\s/m);
      await one.agent.ready;
      expect(await ownerOf(folder, "etc/istio/proxy")).toEqual([1337, "700"]);
      expect(await ownerOf(folder, "etc/istio/proxy/envoy-rev.json")).toEqual([1337, "600"]);
      expect(await ownerOf(folder, "var/run/secrets/workload-spiffe-uds")).toEqual([1337, "750"]);
      // no released Envoy has this tracer any more, so only the file can be looked at
      const tracing = { lightstep: { address: "127.0.0.1:9", accessToken: "t" } };
      const proxy = proxyConfigFromJson({ configPath: ".", tracing });
      await writeBootstrap({ proxy, cwd: folder, owner: { uid: 1337, gid: 1337 } }, {});
      expect(await ownerOf(folder, "lightstep_access_token.txt")).toEqual([1337, "600"]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
);

async function ownerOf(folder: string, path: string): Promise<[uid: number, mode: string]> {
  const { uid, mode } = await stat(resolve(folder, path));
  return [uid, (mode & 0o777).toString(8)];
}

test("a start that failed takes the folders along that it made, and no others", async () => {
  const outside = await mkdtemp(join(tmpdir(), "pb-gone-"));
  try {
    const [statusPort] = await freePorts(1);
    const env = { PROXY_CONFIG: JSON.stringify({ statusPort, binaryPath: "/no/such/envoy" }) };
    const { config } = await loadConfig({ args: ["--run-folder", join(outside, "new/folder")], env, cwd: outside });
    await expect(startAgent(config, { host, log: silentLogger })).rejects.toThrow();
    expect(await readdir(outside)).toEqual([]);
  } finally {
    await rm(outside, { recursive: true, force: true });
  }
});

test("a start that is refused for a taken port of Envoy leaves no file, however often it is tried", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pb-taken-"));
  const taken = await bindTcp("0.0.0.0", 0);
  try {
    const [statusPort, proxyAdminPort, envoyStatus] = await freePorts(3);
    await mkdir(join(folder, "var/run/secrets/istio"), { recursive: true });
    await writeFile(join(folder, "var/run/secrets/istio/root-cert.pem"), (await createTestCa()).certPem);
    const env = {
      PROXY_CONFIG: JSON.stringify({ statusPort, proxyAdminPort, binaryPath: await realEnvoy() }),
      POD_NAMESPACE: "default",
      ENVOY_STATUS_PORT: String(envoyStatus),
      ENVOY_PROMETHEUS_PORT: String(taken.port),
    };
    const { config } = await loadConfig({ args: [], env, cwd: folder });
    const before = await readdir(folder, { recursive: true });
    for (let round = 0; round < 6; round++) {
      await expect(startAgent(config, { host, log: silentLogger })).rejects.toMatchObject({ code: "ADDRESS_IN_USE" });
      expect(await readdir(folder, { recursive: true })).toEqual(before); // at once: a command would have ended by now
    }
  } finally {
    await taken[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  }
});

test("a relative OUTPUT_CERTS lies in the run folder, as the xDS socket does, and applications are told so", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pb-certs-"));
  try {
    await mkdir(join(folder, "certs"));
    await using one = await startInFolder(folder, { binaryPath: await realEnvoy() }, { OUTPUT_CERTS: "certs" });
    await one.agent.ready;
    const grpc = JSON.parse(await readFile(join(folder, "etc/istio/proxy/grpc-bootstrap.json"), "utf8"));
    const key = grpc.certificate_providers.default.config.private_key_file;
    expect(key).toBe(join(folder, "certs/key.pem"));
    const socket = String(grpc.xds_servers[0].server_uri).replace("unix:///", "");
    expect(socket).toBe(join(folder, "etc/istio/proxy/XDS"));
    expect((await stat(socket)).isSocket()).toBe(true);
    expect(await readFile(key, "utf8")).toContain("PRIVATE KEY");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
