import { type AgentContext, type RunningAgent, startAgent } from "../agent/index.ts";
import { choosePorts, portThatWasTaken } from "../agent/ports/index.ts";
import { AgentError, describeError, Lifetime, type Logger, poll } from "../base/index.ts";
import { formatProblem, type LoadedConfig, loadConfig } from "../config/index.ts";
import {
  type ControlPlane,
  type ControlPlaneOptions,
  startControlPlane,
  writeCredentials,
} from "../control-plane/index.ts";
import { createAdminClient } from "../envoy/index.ts";
import type { Host } from "../host/index.ts";
import { meshDefaults } from "./defaults/index.ts";
import { crashFolder } from "./make-local-folder.ts";
import type { Relay } from "./namespace/index.ts";

/** Told what becomes of the resources while they are edited. */
export type OnNews = NonNullable<ControlPlaneOptions["onNews"]>;

/** Does a piece of work and tells what came of it. */
export type Step = <T>(name: string, work: Promise<T>, result: (value: T) => string) => Promise<T>;

export interface MeshParts {
  readonly folder: string;
  readonly resources: string;
  readonly values?: Readonly<Record<string, string>>;
  /** Port of the listener `outbound`; without one, or with 0, it is chosen. */
  readonly port?: number | undefined;
  readonly appPort: number;
  /** The application's network namespace; with a port, the service is in it, too. */
  readonly inside?: { readonly path: string; readonly appPort: number | undefined } | undefined;
  readonly namespace?: string;
  readonly serviceAccount?: string;
  /** Absolute path. */
  readonly envoy: string;
  readonly proxyConfig?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly host: Host;
  readonly log: Logger;
  readonly onNews: OnNews | undefined;
  readonly onEnvoyNews?: AgentContext["onEnvoyNews"];
}

interface Ports {
  readonly outbound: number;
  readonly inbound: number;
  readonly admin: number;
  readonly status: number;
  readonly envoyStatus: number;
  readonly prometheus: number;
  /** The agent's DNS server, and a way to the service, where the application is in a namespace. */
  readonly dns: number;
  readonly service: number;
}

/** Control plane and agent, on ports that nobody else had. */
export interface Started extends AsyncDisposable {
  readonly agent: RunningAgent;
  readonly controlPlane: ControlPlane;
  readonly ports: Ports;
}

/** A port that was free when it was chosen may be taken before it is bound; then others are chosen, so often in all. */
const MOST_TRIES = 3;

/** Starts control plane and agent; resolves when Envoy has its own ports. `onRetry` is told why it takes another try. */
export async function startOnFreePorts(
  parts: MeshParts,
  step: Step,
  onRetry: (line: string) => void,
): Promise<Started> {
  for (let tries = 1; tries < MOST_TRIES; tries++) {
    const ports = await portsFor(parts.port);
    const ours = Object.values(ports).filter((port) => port !== parts.port);
    const started = await startOn(ports, parts, step).catch((error: unknown) => {
      const isTaken = error instanceof AgentError && error.code === "ADDRESS_IN_USE";
      if (isTaken && ours.some((port) => error.message.includes(`:${port}"`))) return describeError(error);
      throw error;
    });
    const reason = typeof started === "string" ? started : await whyNotBound(started, ours);
    if (typeof started !== "string") {
      if (reason === undefined) return started;
      await started[Symbol.asyncDispose]();
    }
    onRetry(`${reason}: trying other ports`);
  }
  return startOn(await portsFor(parts.port), parts, step);
}

async function portsFor(wanted = 0): Promise<Ports> {
  const chosen = await choosePorts(8);
  const [outbound = 0, inbound = 0, admin = 0, status = 0, envoyStatus = 0, prometheus = 0, dns = 0, service = 0] =
    chosen;
  return { outbound: wanted === 0 ? outbound : wanted, inbound, admin, status, envoyStatus, prometheus, dns, service };
}

async function startOn(ports: Ports, parts: MeshParts, step: Step): Promise<Started> {
  const life = new Lifetime();
  try {
    const { agent, controlPlane } = await assemble(ports, parts, step, life);
    return { agent, controlPlane, ports, [Symbol.asyncDispose]: () => life[Symbol.asyncDispose]() };
  } catch (error) {
    await life[Symbol.asyncDispose]();
    throw error;
  }
}

async function assemble(ports: Ports, parts: MeshParts, step: Step, life: Lifetime) {
  const { folder, resources, appPort, host, log, onNews, inside } = parts;
  const identity = { namespace: parts.namespace ?? "default", serviceAccount: parts.serviceAccount ?? "quickstart" };
  const values = {
    OUTBOUND_PORT: String(ports.outbound),
    INBOUND_PORT: String(ports.inbound),
    APP_PORT: String(inside?.appPort === undefined ? appPort : ports.service),
    NAMESPACE: identity.namespace,
    SERVICE_ACCOUNT: identity.serviceAccount,
    ...parts.values,
  };
  const starting = startControlPlane({ resources, values, log, ...(onNews && { onNews }) }, host.signals.stop);
  const controlPlane = await step("control plane", life.own("control plane", starting), ({ address }) => address);
  await writeCredentials(controlPlane, folder, identity);
  const defaults = meshDefaults({
    ...identity,
    ports: {
      proxyAdminPort: ports.admin,
      statusPort: ports.status,
      ENVOY_STATUS_PORT: ports.envoyStatus,
      ENVOY_PROMETHEUS_PORT: ports.prometheus,
    },
    controlPlanePort: controlPlane.port,
    crashFolder: crashFolder(host.env),
    dnsPort: inside && ports.dns,
  });
  const around = inside === undefined ? {} : await contextOf(inside, ports);
  const readAgain = (): Promise<LoadedConfig> =>
    loadConfig({
      args: ["sidecar", "--envoy", parts.envoy, ...(inside === undefined ? [] : QUIET)],
      cwd: folder,
      env: wordsOf(parts),
      defaults,
    });
  const { config, warnings } = await readAgain();
  for (const warning of warnings) log.warn(formatProblem(warning));
  const agent = await step(
    "agent",
    life.own("agent", startAgent(config, { host, log, onEnvoyNews: parts.onEnvoyNews, readAgain, ...around })),
    (one) => (one.envoyPid() === undefined ? "without Envoy" : `Envoy spawned, pid ${one.envoyPid()}`),
  );
  return { agent, controlPlane };
}

/** Istio's injected words. Envoy would warn that the matcher of its UDP proxy, the only way to name a cluster, is new. */
const QUIET = ["--proxyComponentLogLevel", "misc:error"];

type Inside = NonNullable<MeshParts["inside"]>;

/** Envoy takes what the application sends inside; what others send to it arrives outside. */
async function contextOf(
  { path, appPort }: Inside,
  ports: Ports,
): Promise<Pick<AgentContext, "placeListener" | "staticResources">> {
  const { NAME_SERVER, relayResources } = await import("./namespace/index.ts");
  return {
    staticResources: relayResources(relaysOf(ports, appPort, NAME_SERVER), path),
    placeListener: async ({ port, isInbound }) =>
      isInbound || port === ports.inbound ? { port } : { port, networkNamespace: path },
  };
}

function relaysOf(
  { dns, status, admin, service }: Ports,
  appPort: number | undefined,
  nameServer: string,
): readonly Relay[] {
  const asked = { address: nameServer, port: 53, isInside: true };
  const answering = { port: dns, isInside: false };
  const outwards = (name: string, port: number): Relay => ({
    ...{ name, protocol: "TCP", from: { port, isInside: true }, to: { port, isInside: false } },
  });
  return [
    { name: "netns-dns", protocol: "UDP", from: asked, to: answering },
    { name: "netns-dns-tcp", protocol: "TCP", from: asked, to: answering },
    outwards("netns-status", status),
    outwards("netns-admin", admin),
    ...(appPort === undefined
      ? []
      : [
          {
            ...{ name: "netns-service", protocol: "TCP" as const },
            from: { port: service, isInside: false },
            to: { port: appPort, isInside: true },
          },
        ]),
  ];
}

/** What a mesh of one says by itself, whatever the shell around it was told about another one. */
const OWN_VARIABLES = [
  "POD_NAME",
  "POD_NAMESPACE",
  "SERVICE_ACCOUNT",
  "INSTANCE_IP",
  "ISTIO_META_CLUSTER_ID",
  "ENVOY_STATUS_PORT",
  "ENVOY_PROMETHEUS_PORT",
  "PILOTBOAT_RESTART",
  "PILOTBOAT_WATCHDOG",
  "PILOTBOAT_CRASH_FOLDER",
  "PROXY_CONFIG",
];

/** What somebody says: the shell, of all that this mesh does not say by itself, and the choices over it. */
function wordsOf({ host, env, proxyConfig }: MeshParts): Readonly<Record<string, string | undefined>> {
  const others = Object.entries(host.env).filter(([name]) => !OWN_VARIABLES.includes(name));
  const fields = proxyConfig === undefined ? {} : { PROXY_CONFIG: JSON.stringify(proxyConfig) };
  return { ...Object.fromEntries(others), ...fields, ...env };
}

/** An Envoy that neither answers nor ends by then is looked after by `ready`. */
const BIND_LIMIT_MS = 10_000;

/** Why Envoy exited, where that is one of the ports that we chose. */
async function whyNotBound({ agent, ports }: Started, ours: readonly number[]): Promise<string | undefined> {
  const over = new AbortController();
  const ready = agent.ready.catch(() => agent.ended); // it ends
  try {
    await Promise.race([agent.ended, ready, waitForAnswer(agent, ports.admin, over.signal)]);
  } finally {
    over.abort();
  }
  const end = await Promise.race([agent.ended, undefined]);
  if (end?.kind !== "envoy" || end.end.by !== "itself") return undefined;
  const taken = portThatWasTaken([end.end.message, ...end.end.lastLines].join("\n"), ours);
  return taken === undefined ? undefined : `port ${taken} was taken meanwhile`;
}

/** Envoy binds all ports of its bootstrap before its admin answers. */
async function waitForAnswer({ node }: RunningAgent, port: number, over: AbortSignal): Promise<void> {
  const admin = createAdminClient(node.family.localhost, port);
  const look = (): Promise<boolean> =>
    admin.get("/server_info", BIND_LIMIT_MS, over).then(
      () => true,
      () => false, // not yet
    );
  await poll(look, { stop: AbortSignal.any([over, AbortSignal.timeout(BIND_LIMIT_MS)]) });
}
