import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ExampleService, startExampleService } from "../../../examples/quickstart/service.ts";
import quickstart from "../../../examples/quickstart/xds/mesh.yaml" with { type: "text" };
import { freePorts, type Host, Lifetime, type Logger } from "../../base/index.ts";
import { loadConfig } from "../../config/index.ts";
import { type ControlPlane, startControlPlane, writeCredentials } from "../../control-plane/index.ts";
import { type FoundEnvoy, findOrFetchEnvoy } from "../../envoy/binary/index.ts";
import type { RunningAgent } from "../running-agent.ts";
import { startAgent } from "../start-agent.ts";

/** What people may choose of a mesh of one. */
export interface MeshChoices {
  /** Folder with YAML files of Envoy resources. Default: the built-in quickstart. */
  readonly resources?: string;
  /** What `${NAME}` in the files stands for, beside OUTBOUND_PORT, INBOUND_PORT, APP_PORT, NAMESPACE, SERVICE_ACCOUNT. */
  readonly values?: Readonly<Record<string, string>>;
  /** Port of the listener `outbound`. Default: a free one. */
  readonly port?: number;
  /** Default `default`. */
  readonly namespace?: string;
  /** Default `quickstart`. */
  readonly serviceAccount?: string;
  /** Path of an Envoy. Default: ENVOY_BIN, PATH, the cache, else it is fetched. */
  readonly envoy?: string;
  /** Fields of the agent's ProxyConfig, laid over those that this mesh needs. */
  readonly proxyConfig?: Readonly<Record<string, unknown>>;
  /** Variables for the agent, laid over those of the process. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface LocalMeshOptions extends MeshChoices {
  readonly host: Host;
  readonly log: Logger;
  /** Told after each step with what came of it. */
  readonly onStep?: (step: string, result: string, ms: number) => void;
}

/** Control plane, example service, agent and Envoy on this machine. Disposing it leaves nothing behind. */
export interface LocalMesh extends AsyncDisposable {
  readonly agent: RunningAgent;
  readonly controlPlane: ControlPlane;
  readonly service: ExampleService;
  readonly ports: {
    readonly outbound: number;
    readonly inbound: number;
    readonly admin: number;
    readonly status: number;
  };
  /** The run folder, removed at the end. */
  readonly folder: string;
}

/** Starts a mesh of one; resolves when Envoy is spawned and served. `agent.ready` tells when it answers. */
export async function startLocalMesh(options: LocalMeshOptions): Promise<LocalMesh> {
  const life = new Lifetime();
  try {
    return await assemble(options, life);
  } catch (error) {
    await life[Symbol.asyncDispose]();
    throw error;
  }
}

async function assemble(options: LocalMeshOptions, life: Lifetime): Promise<LocalMesh> {
  const { namespace = "default", serviceAccount = "quickstart", host, log, onStep = () => undefined } = options;
  const { stop } = host.signals;
  const step = async <T>(name: string, work: Promise<T>, result: (value: T) => string): Promise<T> => {
    const startedMs = performance.now();
    const value = await work;
    onStep(name, result(value), performance.now() - startedMs);
    return value;
  };
  const folder = await mkdtemp(join(tmpdir(), "pilotboat-"));
  life.defer("run folder", () => rm(folder, { recursive: true, force: true }));
  const envoy = await step(
    "envoy",
    locateEnvoy(options),
    ({ version, origin, path }) => `${version ?? path} (${origin})`,
  );
  const ports = await choosePorts(options.port);
  const service = await step("service", life.own("service", startExampleService()), (one) => `127.0.0.1:${one.port}`);
  const controlPlane = await step(
    "control plane",
    life.own(
      "control plane",
      startControlPlane(
        {
          resources: options.resources ?? (await copyQuickstart(folder)),
          values: {
            OUTBOUND_PORT: String(ports.outbound),
            INBOUND_PORT: String(ports.inbound),
            APP_PORT: String(service.port),
            NAMESPACE: namespace,
            SERVICE_ACCOUNT: serviceAccount,
            ...options.values,
          },
          log,
        },
        stop,
      ),
    ),
    ({ address }) => address,
  );
  await writeCredentials(controlPlane, folder, { namespace, serviceAccount });
  const { config } = await loadConfig({
    args: ["sidecar", "--envoy", envoy.path],
    cwd: folder,
    env: { ...host.env, ...agentWords({ ...options, namespace, serviceAccount }, ports, controlPlane.port) },
  });
  const agent = await step(
    "agent",
    life.own("agent", startAgent(config, { host, log })),
    (one) => `Envoy spawned, pid ${one.envoyPid() ?? "none"}`,
  );
  return { agent, controlPlane, service, ports, folder, [Symbol.asyncDispose]: () => life[Symbol.asyncDispose]() };
}

/** `$XDG_STATE_HOME/pilotboat/crashes`, by the XDG Base Directory Specification. */
function crashFolder({ XDG_STATE_HOME, HOME = tmpdir() }: Host["env"]): string {
  return join(XDG_STATE_HOME || join(HOME, ".local/state"), "pilotboat/crashes");
}

type Ports = LocalMesh["ports"] & { readonly envoyStatus: number; readonly prometheus: number };

async function choosePorts(wanted: number | undefined): Promise<Ports> {
  const free = await freePorts(6);
  const [outbound = 0, inbound = 0, admin = 0, status = 0, envoyStatus = 0, prometheus = 0] = free;
  return { outbound: wanted ?? outbound, inbound, admin, status, envoyStatus, prometheus };
}

/** The words that an injected pod would be told, for this machine. */
function agentWords(
  {
    namespace,
    serviceAccount,
    proxyConfig,
    env,
    host,
  }: LocalMeshOptions & { namespace: string; serviceAccount: string },
  ports: Ports,
  controlPlanePort: number,
): Record<string, string> {
  return {
    POD_NAME: `${serviceAccount}-local`,
    POD_NAMESPACE: namespace,
    SERVICE_ACCOUNT: serviceAccount,
    INSTANCE_IP: "127.0.0.1",
    ISTIO_META_CLUSTER_ID: "Kubernetes",
    ENVOY_STATUS_PORT: String(ports.envoyStatus),
    ENVOY_PROMETHEUS_PORT: String(ports.prometheus),
    PILOTBOAT_RESTART: "on-failure",
    PILOTBOAT_WATCHDOG: "true",
    PILOTBOAT_CRASH_FOLDER: crashFolder(host.env), // the run folder does not outlive the run
    PROXY_CONFIG: JSON.stringify({
      discoveryAddress: `localhost:${controlPlanePort}`,
      proxyAdminPort: ports.admin,
      statusPort: ports.status,
      terminationDrainDuration: "0s", // nobody else is connected, and Ctrl-C should be quick
      ...proxyConfig,
    }),
    ...env,
  };
}

async function locateEnvoy({ envoy, host, onStep = () => undefined }: LocalMeshOptions): Promise<FoundEnvoy> {
  const asked = [
    { path: envoy ?? "", from: "--envoy" },
    { path: host.env.ENVOY_BIN ?? "", from: "ENVOY_BIN" },
  ];
  const explicit = asked.filter(({ path }) => path !== "");
  const onNote = (line: string): void => onStep("envoy", line, 0);
  return findOrFetchEnvoy({ explicit, env: host.env, cwd: host.cwd, onNote }, host.signals.stop);
}

async function copyQuickstart(folder: string): Promise<string> {
  const resources = join(folder, "xds");
  await mkdir(resources);
  await writeFile(join(resources, "mesh.yaml"), quickstart);
  return resources;
}
