import { execFile } from "node:child_process";
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type RunningCommand, type Runtime, run, runtimes, start } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { isAlive } from "../support/processes.ts";
import { realEnvoy } from "../support/real-envoy.ts";

const MESH = resolve("examples/quickstart/xds");

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-proxy-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

interface Ports {
  readonly outbound: number;
  readonly inbound: number;
  readonly app: number;
  readonly admin: number;
  readonly status: number;
  readonly envoyStatus: number;
  readonly prometheus: number;
  readonly controlPlane: number;
}

async function choosePorts(): Promise<Ports> {
  const [outbound = 0, inbound = 0, app = 0, admin = 0, status = 0, envoyStatus = 0, prometheus = 0, controlPlane = 0] =
    await freePorts(8);
  return { outbound, inbound, app, admin, status, envoyStatus, prometheus, controlPlane };
}

function startControlPlane(runtime: Runtime, ports: Ports): RunningCommand {
  const values = { OUTBOUND_PORT: ports.outbound, INBOUND_PORT: ports.inbound, APP_PORT: ports.app };
  const set = Object.entries(values).flatMap(([name, value]) => ["--set", `${name}=${value}`]);
  const args = ["--dir", MESH, "--port", String(ports.controlPlane), "--with-service", "--write-credentials", folder];
  return start(runtime, ["control-plane", ...args, ...set]);
}

async function startProxy(runtime: Runtime, ports: Ports, extra: Readonly<Record<string, unknown>> = {}) {
  const proxyConfig = {
    discoveryAddress: `localhost:${ports.controlPlane}`,
    binaryPath: await realEnvoy(),
    proxyAdminPort: ports.admin,
    statusPort: ports.status,
    terminationDrainDuration: "0s",
    ...extra,
  };
  return start(runtime, ["proxy", "sidecar"], { cwd: folder, env: words(ports, proxyConfig) });
}

function words(ports: Ports, proxyConfig: unknown): Record<string, string> {
  return {
    PROXY_CONFIG: JSON.stringify(proxyConfig),
    POD_NAME: "quickstart",
    POD_NAMESPACE: "default",
    SERVICE_ACCOUNT: "quickstart",
    INSTANCE_IP: "127.0.0.1",
    ENVOY_STATUS_PORT: String(ports.envoyStatus),
    ENVOY_PROMETHEUS_PORT: String(ports.prometheus),
  };
}

const statusOf = (port: number): Promise<number> =>
  fetch(`http://127.0.0.1:${port}/healthz/ready`).then(
    ({ status }) => status,
    () => 0,
  );

describe.each(runtimes())("pilotboat proxy on $name", (runtime) => {
  test("is a member of a mesh, and its certificate is the one that Envoy presents", async () => {
    const ports = await choosePorts();
    await using controlPlane = startControlPlane(runtime, ports);
    await controlPlane.waitFor(/credentials {4}/);
    await using proxy = await startProxy(runtime, ports);
    await proxy.waitFor(/Start: .*ready/);
    expect(await statusOf(ports.status)).toBe(200);
    expect(await statusOf(ports.envoyStatus)).toBe(200);
    const answer = await fetch(`http://127.0.0.1:${ports.outbound}/by-hand`);
    expect(answer.status).toBe(200);

    const certificate = await presentedCertificate(ports.inbound);
    expect(certificate).toMatch(
      /X509v3 Subject Alternative Name: critical\s+URI:spiffe:\/\/cluster\.local\/ns\/default\/sa\/quickstart/,
    );
    expect(certificate).toMatch(/Issuer: O = cluster\.local/);

    const { stdout } = await run(runtime, ["status", "--run-folder", folder]);
    expect(stdout).toMatch(/^certificate +spiffe:\/\/cluster\.local\/ns\/default\/sa\/quickstart$/m);
    expect(stdout).toMatch(/^issuer +O=cluster\.local$/m);
    expect(stdout).toMatch(/^valid .* (1d0h|23h59m) left$/m);
    expect(stdout).toMatch(/^next rotation .* in 1[12]h\d+m$/m);
    expect(stdout).toMatch(/^envoy +running, version \S+, pid \d+/m);

    proxy.kill("SIGTERM");
    expect(await proxy.ended).toEqual({ code: 0, signal: null });
    expect(await readdir(join(folder, "etc/istio/proxy"))).toEqual(["grpc-bootstrap.json"]);
  });

  // without a control plane it never gets live; at this level it has said nothing by which it could be known
  test("reality 16: an Envoy of any name that is killed before it is live is one, and ends the agent with 137", async () => {
    const ports = await choosePorts();
    const binaryPath = join(folder, "proxy-server");
    await copyFile(await realEnvoy(), binaryPath);
    await mkdir(join(folder, "var/run/secrets/istio"), { recursive: true });
    await writeFile(join(folder, "var/run/secrets/istio/root-cert.pem"), await anyCertificate());
    await using proxy = await startProxy(runtime, ports, { binaryPath });
    await proxy.waitFor(/Envoy command/);
    const runFile = join(folder, "etc/istio/proxy/agent.json");
    const envoyPid = async (): Promise<number> => JSON.parse(await readFile(runFile, "utf8")).envoys[0]?.pid ?? 0;
    await expect.poll(envoyPid).toBeGreaterThan(0);
    process.kill(await envoyPid(), "SIGKILL");
    expect((await proxy.ended).code).toBe(137);
    expect(proxy.stderr()).toMatch(/signal: killed.*\[ENVOY_ENDED\]/);
    expect(proxy.stderr()).not.toContain("Is this an Envoy");
  });

  test("waits for a control plane that is away, says why, and is ready when it comes", async () => {
    const ports = await choosePorts();
    await mkdir(join(folder, "var/run/secrets/istio"), { recursive: true });
    await writeFile(join(folder, "var/run/secrets/istio/root-cert.pem"), await anyCertificate());
    await using proxy = await startProxy(runtime, ports);
    await proxy.waitFor(/Opening status port/);
    await expect.poll(() => statusOf(ports.status), { timeout: 20_000 }).toBe(503);
    const because = async () => (await fetch(`http://127.0.0.1:${ports.status}/healthz/ready`)).text();
    await expect.poll(because, { timeout: 20_000 }).toMatch(/ECONNREFUSED|refused/);
    await using controlPlane = startControlPlane(runtime, ports);
    await controlPlane.waitFor(/credentials {4}/);
    await expect.poll(() => statusOf(ports.status), { timeout: 60_000, interval: 100 }).toBe(200);

    controlPlane.kill("SIGTERM");
    await controlPlane.ended;
    expect(await statusOf(ports.status)).toBe(200); // Envoy keeps serving what it has
    proxy.kill("SIGINT");
    expect((await proxy.ended).code).toBe(0);
  });

  test("ends with Envoy's fate: killed is 137, and nothing stays behind", async () => {
    const ports = await choosePorts();
    await using controlPlane = startControlPlane(runtime, ports);
    await controlPlane.waitFor(/credentials {4}/);
    await using proxy = await startProxy(runtime, ports);
    await proxy.waitFor(/Start: .*ready/);
    const pid = await childOf(proxy.pid);
    process.kill(pid, "SIGKILL");
    expect((await proxy.ended).code).toBe(137);
    expect(proxy.stderr()).toContain("Envoy exited by itself: signal: killed");
    expect(isAlive(pid)).toBe(false);
  });
});

describe.each(runtimes())("bad input to pilotboat proxy on $name", (runtime) => {
  const prepare = async (): Promise<Ports> => {
    await mkdir(join(folder, "var/run/secrets/istio"), { recursive: true });
    await writeFile(join(folder, "var/run/secrets/istio/root-cert.pem"), await anyCertificate());
    return choosePorts();
  };
  const refused = async (proxyConfig: unknown, ports: Ports, env: Readonly<Record<string, string>> = {}) =>
    run(runtime, ["proxy"], { cwd: folder, env: { ...words(ports, proxyConfig), ...env } });

  test("a missing Envoy is named", async () => {
    const ports = await prepare();
    const { code, stderr } = await refused({ binaryPath: "/no/such/envoy", statusPort: ports.status }, ports);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /Cannot find Envoy at "\/no\/such\/envoy" \(binaryPath in PROXY_CONFIG\) \[ENVOY_NOT_FOUND\]\n {2}hint: /,
    );
  });

  test("an Envoy that is not executable is named", async () => {
    const ports = await prepare();
    const binaryPath = join(folder, "envoy");
    await writeFile(binaryPath, "not executable");
    await chmod(binaryPath, 0o644);
    const { code, stderr } = await refused({ binaryPath, statusPort: ports.status }, ports);
    expect(code).toBe(1);
    expect(stderr).toContain(`"${binaryPath}"`);
    expect(stderr).toContain("[ENVOY_NOT_EXECUTABLE]");
  });

  test("an Envoy for another machine ends it with the reason", async () => {
    const ports = await prepare();
    const binaryPath = join(folder, "envoy");
    await writeFile(binaryPath, Buffer.concat([Buffer.from("\x7fELF\x02\x01\x01", "latin1"), Buffer.alloc(64)]));
    await chmod(binaryPath, 0o755);
    const { code, stderr } = await refused(
      { binaryPath, statusPort: ports.status, proxyAdminPort: ports.admin },
      ports,
    );
    expect(code).toBe(1);
    expect(stderr).toMatch(/it is built for machine 0, this machine is .*\[ENVOY_NOT_EXECUTABLE\]/);
  });

  test("several mistakes are all told, with line and column, and the exit code is 2", async () => {
    const text =
      "drainDuration: 90\nproxyAdminPort: 99999\nconcurrency: many\nstatusPort: x\ndiscoveryAddress: nohost\n";
    const { code, stderr } = await run(runtime, ["proxy"], { cwd: folder, env: { PROXY_CONFIG: text } });
    expect(code).toBe(2);
    expect(stderr).toContain("The configuration has 5 problems");
    for (const line of [1, 2, 3, 4, 5]) expect(stderr).toMatch(new RegExp(`PROXY_CONFIG:${line}:\\d+: `));
  });

  test("a taken status port is named", async () => {
    const ports = await prepare();
    const taken = createServer();
    await new Promise<void>((done) => taken.listen(ports.status, "::", done));
    const { code, stderr } = await refused({ binaryPath: await realEnvoy(), statusPort: ports.status }, ports);
    taken.close();
    expect(code).toBe(1);
    expect(stderr).toMatch(new RegExp(`:${ports.status}": in use`));
  });

  test("a socket path over the limit is refused before anything starts", async () => {
    const ports = await prepare();
    const configPath = `./${"x".repeat(110)}`;
    const { code, stderr } = await refused({ configPath, statusPort: ports.status }, ports);
    expect(code).toBe(2);
    expect(stderr).toMatch(/the path has \d+ bytes, at most \d+ are possible/);
  });

  test("a missing root certificate is named", async () => {
    const ports = await choosePorts();
    const { code, stderr } = await refused({ statusPort: ports.status }, ports);
    expect(code).toBe(1);
    expect(stderr).toMatch(/root-cert\.pem/);
  });

  test("a run folder that cannot be written is named", async () => {
    const ports = await prepare();
    const { code, stderr } = await refused({ configPath: "/proc/nowhere", statusPort: ports.status }, ports);
    expect(code).toBe(1);
    expect(stderr).toContain("/proc/nowhere");
  });

  test("a signal during the start exits 0 and leaves no process", async () => {
    const ports = await prepare();
    await using proxy = await startProxy(runtime, ports);
    await proxy.waitFor(/Version/);
    proxy.kill("SIGTERM");
    expect((await proxy.ended).code).toBe(0);
  });
});

test.each(runtimes())("broken YAML for the control plane is told with file and line on $name", async (runtime) => {
  await writeFile(join(folder, "broken.yaml"), "clusters:\n  - name: a\n    typo_field: 1\n");
  const { code, stderr } = await run(runtime, ["control-plane", "--dir", folder, "--port", "0"]);
  expect(code).toBe(2);
  expect(stderr).toMatch(/broken\.yaml", line 3, column 5: clusters\[0\]\.typo_field: /);
});

async function presentedCertificate(port: number): Promise<string> {
  const script = `openssl s_client -connect 127.0.0.1:${port} </dev/null 2>/dev/null | openssl x509 -noout -text`;
  return (await promisify(execFile)("sh", ["-c", script])).stdout;
}

/** Some self-signed certificate, as a root that nobody presents. */
async function anyCertificate(): Promise<string> {
  const args = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-keyout",
    "/dev/null",
  ];
  return (await promisify(execFile)("openssl", [...args, "-subj", "/CN=nobody", "-days", "1"])).stdout;
}

/** Envoy is the agent's only child; `setpriv` has become Envoy by then. */
async function childOf(pid: number): Promise<number> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8");
  return Number(children.trim());
}
