import { connect } from "node:net";
import { join } from "node:path";
import { startExampleService } from "../../examples/quickstart/service.ts";
import quickstart from "../../examples/quickstart/xds/mesh.yaml" with { type: "text" };
import transparent from "../../examples/transparent/xds/mesh.yaml" with { type: "text" };
import type { AgentContext, RunningAgent } from "../agent/index.ts";
import { checkWantedPort } from "../agent/ports/index.ts";
import { imageTaker } from "../agent/start-envoy/index.ts";
import { Lifetime, type Logger, removeTree, stoppedOr, writeFileAtomically } from "../base/index.ts";
import type { ControlPlane } from "../control-plane/index.ts";
import {
  askedEnvoy,
  type FetchNews,
  type FoundEnvoy,
  fetchNewsAsLines,
  findOrFetchEnvoy,
} from "../envoy/binary/index.ts";
import type { Host } from "../host/index.ts";
import { makeLocalRunFolder, sweepLocalRunFolders } from "./make-local-folder.ts";
import { meshVariables } from "./mesh-variables.ts";
import type { MeshNamespace } from "./namespace/index.ts";
import { type OnNews, type Step, startOnFreePorts } from "./start-on-free-ports.ts";

/** What people may choose of a mesh of one. */
export interface MeshChoices {
  /** Folder with YAML files of Envoy resources. Default: the built-in quickstart. */
  readonly resources?: string;
  /** What `${NAME}` in the files stands for, beside OUTBOUND_PORT, INBOUND_PORT, APP_PORT, NAMESPACE, SERVICE_ACCOUNT. */
  readonly values?: Readonly<Record<string, string>>;
  /** Port of the listener `outbound`. Default: a free one. */
  readonly port?: number;
  /** Port of a service of your own on 127.0.0.1, which the inbound side leads to. Default: an example service is started. */
  readonly appPort?: number;
  /** Default `default`. */
  readonly namespace?: string;
  /** Default `quickstart`. */
  readonly serviceAccount?: string;
  /** Path of an Envoy. Default: ENVOY_BIN, PATH, the cache, else it is fetched. */
  readonly envoy?: string;
  /** The one Envoy that will do, found or fetched: `1.38.3`, or `istio-1.31.0` for Istio's own. Default: PILOTBOAT_ENVOY_VERSION. */
  readonly envoyVersion?: string;
  /** Fields of the agent's ProxyConfig, laid over those that this mesh needs. */
  readonly proxyConfig?: Readonly<Record<string, unknown>>;
  /** Variables for the agent, laid over those of the process. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface LocalMeshOptions extends MeshChoices {
  readonly host: Host;
  readonly log: Logger;
  /** Called for each Envoy that crashed, and for each that was restarted. */
  readonly onEnvoyNews?: AgentContext["onEnvoyNews"];
  /** Called after each step with what came of it. */
  readonly onStep?: (step: string, result: string, ms: number) => void;
  /** Hears the progress of a fetch, where this machine has no Envoy yet. */
  readonly onFetch?: FetchNews;
  /** The application gets a network namespace of its own; `port` and `appPort` are ports in it. Linux, root. */
  readonly isTransparent?: boolean;
}

/** Control plane, example service, agent and Envoy on this machine. Disposing it leaves nothing behind. */
export interface LocalMesh extends AsyncDisposable {
  readonly agent: RunningAgent;
  readonly controlPlane: ControlPlane;
  /** Where the inbound side leads to. */
  readonly appPort: number;
  readonly ports: {
    readonly outbound: number;
    readonly inbound: number;
    readonly admin: number;
    readonly status: number;
  };
  /** The run folder, removed at the end. */
  readonly folder: string;
  /** The folder of resources that is served and watched; without a choice, a copy of the quickstart in the run folder. */
  readonly resources: string;
  /** The application's own; undefined where it shares ours. */
  readonly namespace: MeshNamespace | undefined;
  /** What the application gets, beside our own environment. */
  readonly variables: Readonly<Record<string, string>>;
}

/**
 * Starts a mesh of one; resolves when Envoy has the ports of its bootstrap. `agent.ready` tells when it takes requests.
 * Rejects with ADDRESS_IN_USE when the wanted port is taken, RESOURCES_INVALID, STOPPED, or what finding Envoy and
 * starting the agent reject with. `onNews` hears what becomes of the resources while they are edited.
 */
export async function startLocalMesh(options: LocalMeshOptions, onNews?: OnNews): Promise<LocalMesh> {
  const life = new Lifetime();
  try {
    const { port = 0, isTransparent = false } = options;
    if (port !== 0 && !isTransparent) await checkWantedPort(port);
    return await assemble(options, onNews, life);
  } catch (error) {
    await life[Symbol.asyncDispose]();
    throw stoppedOr(error, options.host.signals.stop);
  }
}

async function assemble(options: LocalMeshOptions, onNews: OnNews | undefined, life: Lifetime): Promise<LocalMesh> {
  const { host, log, onStep = () => undefined } = options;
  const step: Step = async (name, work, result) => {
    const startedMs = performance.now();
    const value = await work;
    onStep(name, result(value), performance.now() - startedMs);
    return value;
  };
  const transparency = options.isTransparent ? await import("./namespace/index.ts") : undefined;
  transparency?.checkUser(); // before anything is fetched
  const sweeping = sweepLocalRunFolders(host, log);
  const folder = await makeLocalRunFolder(host, log);
  life.defer("run folder", () => removeTree(folder));
  const envoy = await step(
    "envoy",
    locateEnvoy(options),
    ({ version, origin, path }) => `${version ?? path} (${origin})`,
  );
  const namespace = transparency && (await makeNamespace(transparency, options, folder, step, life));
  const service = await step("service", life.own("service", findService(options)), ({ told }) => told);
  const resources =
    options.resources ?? (await copyBuiltIn(folder, namespace === undefined ? quickstart : transparent));
  const port = namespace === undefined ? options.port : transparentPort(options);
  const inside = namespace && { path: namespace.path, appPort: options.appPort };
  const parts = { ...options, port, host, resources, folder, envoy: envoy.path, appPort: service.port, onNews, inside };
  const { agent, controlPlane, ports } = await life.own(
    "mesh",
    startOnFreePorts(parts, step, (line) => onStep("agent", line, 0)),
  );
  await sweeping;
  const identity = {
    namespace: options.namespace ?? "default",
    serviceAccount: options.serviceAccount ?? "quickstart",
  };
  const variables = meshVariables({ agent, ports, folder, ...identity });
  await namespace?.announce(variables);
  return {
    agent,
    controlPlane,
    appPort: service.port,
    ports,
    folder,
    resources,
    namespace,
    variables,
    [Symbol.asyncDispose]: () => life[Symbol.asyncDispose](),
  };
}

/** Where redirected traffic arrives, unless somebody chose another port. */
const OUTBOUND_PORT = 15_001;

function transparentPort({ port = 0 }: LocalMeshOptions): number {
  return port === 0 ? OUTBOUND_PORT : port;
}

function makeNamespace(
  { openMeshNamespace }: Pick<typeof import("./namespace/index.ts"), "openMeshNamespace">,
  options: LocalMeshOptions,
  folder: string,
  step: Step,
  life: Lifetime,
): Promise<MeshNamespace> {
  const { host, log } = options;
  const opening = openMeshNamespace({ host, folder, outboundPort: transparentPort(options), log });
  return step(
    "namespace",
    life.own("network namespace", opening),
    () => "of the application; its traffic goes to Envoy",
  );
}

async function locateEnvoy({ envoy, envoyVersion, host, log, onFetch }: LocalMeshOptions): Promise<FoundEnvoy> {
  const { env, cwd, signals } = host;
  const asked = askedEnvoy({ envoy, version: envoyVersion }, env);
  const news = onFetch ?? fetchNewsAsLines((line) => log.info(line));
  const image = { hub: env.PILOTBOAT_ENVOY_HUB, takeFromImage: imageTaker() };
  return findOrFetchEnvoy({ ...asked, ...image, env, cwd, ...news }, signals.stop);
}

interface Service extends AsyncDisposable {
  readonly port: number;
  /** For people. */
  readonly told: string;
}

/** The caller's own service, which may start later, or the example one. */
async function findService({ appPort, isTransparent }: LocalMeshOptions): Promise<Service> {
  if (appPort === undefined) {
    const example = await startExampleService();
    return { ...example, told: `127.0.0.1:${example.port}` };
  }
  const nothing = async (): Promise<void> => undefined;
  if (isTransparent)
    return { port: appPort, told: `127.0.0.1:${appPort} in the namespace, yours`, [Symbol.asyncDispose]: nothing };
  const told = `127.0.0.1:${appPort}, yours${await whatIsWrong(appPort)}`;
  return { port: appPort, told, [Symbol.asyncDispose]: nothing };
}

async function whatIsWrong(port: number): Promise<string> {
  const [isThere, isOnIpv6] = await Promise.all([isAnswered("127.0.0.1", port), isAnswered("::1", port)]);
  if (isThere) return "";
  return isOnIpv6 ? "; it listens only on ::1; make it listen on 127.0.0.1" : "; no process listens there yet";
}

function isAnswered(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect({ host, port });
    probe.once("connect", () => resolve(true)).once("error", () => resolve(false));
    probe.once("connect", () => probe.destroy());
  });
}

async function copyBuiltIn(folder: string, mesh: string): Promise<string> {
  const resources = join(folder, "xds");
  await writeFileAtomically(join(resources, "mesh.yaml"), mesh);
  return resources;
}
