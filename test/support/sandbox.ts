import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { startExampleService } from "../../examples/quickstart/service.ts";
import type { ReloadReport } from "../../src/agent/index.ts";
import { type RunningCommand, type Runtime, start } from "./pilotboat.ts";
import { freePorts } from "./ports.ts";
import { realEnvoy } from "./real-envoy.ts";

export interface SandboxPorts {
  readonly outbound: number;
  readonly inbound: number;
  readonly admin: number;
  readonly status: number;
  readonly envoyStatus: number;
  readonly prometheus: number;
  readonly controlPlane: number;
}

/** A folder and the ports of one proxy; control plane and proxy are commands of the product. */
export interface Sandbox extends AsyncDisposable {
  readonly folder: string;
  readonly ports: SandboxPorts;
  /** Resolves when the credentials of the proxy are written. A second one continues where the first left. */
  startControlPlane(options?: PlaneOptions): Promise<RunningCommand>;
  /** Fields of ProxyConfig and variables are laid over those that the sandbox needs. */
  startProxy(options?: ProxyOptions): Promise<RunningCommand>;
  /** The environment that `startProxy` gives it. */
  proxyEnvironment(options: ProxyOptions): Promise<Record<string, string>>;
  /** `POST /reload` to the running proxy. */
  reload(): Promise<ReloadReport>;
}

export interface ProxyOptions {
  readonly proxyConfig?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
}

export interface PlaneOptions {
  /** Default: those of the sandbox. */
  readonly resources?: string;
  /** Further values of the placeholders in them. */
  readonly values?: Readonly<Record<string, string>>;
  /** Of its process. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface SandboxOptions {
  /** Folder of YAML for the control plane. Default: the quickstart. */
  readonly resources?: string;
  /** Port of the application. Default: an example service of the sandbox's own. */
  readonly appPort?: number;
}

/** Disposing removes the folder, not the commands. */
export async function createSandbox(runtime: Runtime, options: SandboxOptions = {}): Promise<Sandbox> {
  const { resources = resolve("examples/quickstart/xds"), appPort } = options;
  const folder = await mkdtemp(join(tmpdir(), "pb-sandbox-"));
  const service = appPort === undefined ? await startExampleService() : undefined;
  const [outbound = 0, inbound = 0, admin = 0, status = 0, envoyStatus = 0, prometheus = 0, controlPlane = 0] =
    await freePorts(7);
  const ports = { outbound, inbound, admin, status, envoyStatus, prometheus, controlPlane };
  const proxyEnvironment = async ({ proxyConfig, env }: ProxyOptions): Promise<Record<string, string>> => {
    const envoy = env?.DISABLE_ENVOY === undefined ? { binaryPath: await realEnvoy() } : {};
    return { ...proxyWords(ports, { ...envoy, ...proxyConfig }), ...env };
  };
  return {
    folder,
    ports,
    async startControlPlane({ resources: own = resources, values: more = {}, env = {} } = {}) {
      const values = { OUTBOUND_PORT: outbound, INBOUND_PORT: inbound, APP_PORT: appPort ?? service?.port, ...more };
      const set = Object.entries(values).flatMap(([name, value]) => ["--set", `${name}=${value}`]);
      const where = ["--dir", own, "--port", String(controlPlane), "--ca-dir", join(folder, "ca")];
      const command = start(runtime, ["control-plane", ...where, "--write-credentials", folder, ...set], { env });
      await command.waitFor(/credentials {4}/);
      return command;
    },
    async startProxy({ args = [], ...words } = {}) {
      return start(runtime, ["proxy", "sidecar", ...args], { cwd: folder, env: await proxyEnvironment(words) });
    },
    proxyEnvironment,
    async reload() {
      const answer = await fetch(`http://127.0.0.1:${status}/reload`, { method: "POST" });
      return (await answer.json()) as ReloadReport;
    },
    async [Symbol.asyncDispose]() {
      await service?.[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function proxyWords(ports: SandboxPorts, proxyConfig: Readonly<Record<string, unknown>>): Record<string, string> {
  return {
    PROXY_CONFIG: JSON.stringify({
      discoveryAddress: `localhost:${ports.controlPlane}`,
      proxyAdminPort: ports.admin,
      statusPort: ports.status,
      terminationDrainDuration: "0s",
      ...proxyConfig,
    }),
    POD_NAME: "quickstart",
    POD_NAMESPACE: "default",
    SERVICE_ACCOUNT: "quickstart",
    INSTANCE_IP: "127.0.0.1",
    ENVOY_STATUS_PORT: String(ports.envoyStatus),
    ENVOY_PROMETHEUS_PORT: String(ports.prometheus),
  };
}
