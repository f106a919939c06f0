import { type AgentContext, type RunningAgent, startAgent } from "../agent/index.ts";
import { choosePorts } from "../agent/ports/index.ts";
import { inRunFolder } from "../agent/run-folder/index.ts";
import { drainOptions } from "../agent/start-envoy/index.ts";
import { type AgentConfig, type ConfigDefaults, type LoadedConfig, loadConfig } from "../config/index.ts";
import { type AdminClient, createAdminClient } from "../envoy/index.ts";
import type { DrainOptions } from "../envoy/supervisor/index.ts";
import type { Host } from "../host/index.ts";
import { type ChosenPorts, RUN_LOG_FLAGS, runDefaults } from "./defaults/index.ts";
import { type LocalMeshOptions, startLocalMesh } from "./local-mesh.ts";
import type { Way } from "./namespace/index.ts";

/** The sidecar of an application, and what there is to say about it. */
export interface RunSidecar extends AsyncDisposable {
  readonly agent: RunningAgent;
  readonly limits: DrainOptions;
  /** Envoy drains and runs on. Calling again returns the same promise. */
  drain(): Promise<void>;
  /** Undefined without Envoy. */
  readonly admin: AdminClient | undefined;
  /** Who listens where, for people. */
  readonly addresses: readonly (readonly [name: string, address: string])[];
  /** Calls for each of them that comes later. Default: none does. */
  readonly onLater?: (tell: (address: RunSidecar["addresses"][number]) => void) => void;
  /** What the application is told, beside our own environment. */
  readonly variables: Readonly<Record<string, string>>;
  /** Runs the application in its network namespace. Default: it shares ours. */
  readonly enter?: Way | undefined;
}

/** Somebody's place in a mesh, in which a run takes part. It is left when it is disposed of. */
export interface RunWorkload extends AsyncDisposable {
  readonly role: "sidecar" | "router";
  /** Run folder, with its credentials. */
  readonly folder: string;
  /** Flags of `proxy`, as `--name=value`; those that somebody typed come after them. */
  readonly flags: readonly string[];
  /** Below those of `run`. */
  readonly defaults: readonly ConfigDefaults[];
  /** What the shell says, of all that the workload does not say itself. */
  readonly env: Host["env"];
  /** Beside those of the sidecar, for people and for the application. */
  readonly addresses: () => RunSidecar["addresses"];
  readonly onLater: NonNullable<RunSidecar["onLater"]>;
  readonly variables: RunSidecar["variables"];
  readonly placeListener: NonNullable<AgentContext["placeListener"]>;
}

/**
 * Reads what `proxy` would read, with other defaults: an Envoy that crashed is started again, one without Istio's filters
 * is sent its configuration without them, the end waits for connections instead of a fixed time, and outside a pod, whose
 * probes and redirection name them, ports are free ones. What it gives reads the same once more.
 */
export async function runConfigReader(
  words: readonly string[],
  host: Host,
  workload?: RunWorkload,
): Promise<() => Promise<LoadedConfig>> {
  const isPod = workload === undefined && (host.env.KUBERNETES_SERVICE_HOST ?? "") !== "";
  const { env, args } =
    workload === undefined
      ? { env: host.env, args: words }
      : { env: workload.env, args: [workload.role, `--run-folder=${workload.folder}`, ...workload.flags, ...words] };
  const own = runDefaults(env, isPod ? undefined : await chooseRunPorts());
  const defaults = [...(workload?.defaults ?? []), ...own];
  return () => loadConfig({ args, env, cwd: host.cwd, stop: host.signals.stop, defaults });
}

async function chooseRunPorts(): Promise<ChosenPorts> {
  const [proxyAdminPort = 0, statusPort = 0, ENVOY_STATUS_PORT = 0, ENVOY_PROMETHEUS_PORT = 0] = await choosePorts(4);
  return { proxyAdminPort, statusPort, ENVOY_STATUS_PORT, ENVOY_PROMETHEUS_PORT };
}

/** The flags with those of the log that `run` adds: to stderr, and only from `warn`. */
export function withLogFlags(flags: readonly string[], isVerbose: boolean): readonly string[] {
  return [
    ...(isGiven(flags, "log_target") ? [] : [`--log_target=${RUN_LOG_FLAGS.log_target}`]),
    ...(isVerbose ? [] : [`--log_output_level=${RUN_LOG_FLAGS.log_output_level}`]),
    ...flags,
  ];
}

export function isGiven(flags: readonly string[], name: string): boolean {
  return flags.some((flag) => flag.startsWith(`--${name}=`));
}

/** The agent of this configuration, on the path of `pilotboat proxy`. */
export async function startOwnSidecar(config: AgentConfig, context: AgentContext): Promise<RunSidecar> {
  const agent = await startAgent(config, context);
  const { settings, proxy } = config;
  const at = addressOf(agent);
  const statusUrl = agent.statusPort === undefined ? undefined : at(agent.statusPort);
  const { adminAddress, admin } = adminOf(agent, settings.isEnvoyDisabled ? undefined : proxy.proxyAdminPort);
  const grpcBootstrap = settings.grpcBootstrapPath;
  return {
    agent,
    limits: drainOptions(config),
    drain: drainOf(agent),
    admin,
    addresses: [
      ...(statusUrl === undefined
        ? []
        : ([
            ["status", `${statusUrl}/healthz/ready`],
            ["page", `${statusUrl}/`],
          ] as const)),
      ...(adminAddress === undefined
        ? []
        : ([
            ["envoy admin", adminAddress],
            ["envoy health", `${at(settings.envoyStatusPort)}/healthz/ready`],
            ["envoy metrics", `${at(settings.envoyPrometheusPort)}/stats/prometheus`],
          ] as const)),
    ],
    variables: {
      ...variablesOf(agent, adminAddress),
      ...(statusUrl === undefined ? {} : { PILOTBOAT_STATUS_URL: statusUrl }),
      PILOTBOAT_RUN_FOLDER: config.cwd,
      ...(grpcBootstrap === "" ? {} : { GRPC_XDS_BOOTSTRAP: inRunFolder(config, grpcBootstrap) }),
    },
    [Symbol.asyncDispose]: () => agent[Symbol.asyncDispose](),
  };
}

/** The agent in a mesh of its own, as `pilotboat up` makes it. Nobody else is in it, so its end waits for nobody. */
export async function startLocalSidecar(config: AgentConfig, options: LocalMeshOptions): Promise<RunSidecar> {
  const identity = { namespace: "default", serviceAccount: "quickstart" };
  const mesh = await startLocalMesh({ ...identity, ...options });
  const { agent, ports, controlPlane, appPort, namespace } = mesh;
  const { adminAddress, admin } = adminOf(agent, ports.admin);
  const statusUrl = addressOf(agent)(ports.status);
  const outbound = `http://127.0.0.1:${ports.outbound}`;
  return {
    agent,
    limits: { ...drainOptions(config), terminationMs: 0 },
    drain: drainOf(agent),
    admin,
    addresses: [
      ["listener", namespace === undefined ? outbound : `${outbound} in the namespace of the program`],
      ...(options.appPort === undefined ? [] : ([["leads to", `http://127.0.0.1:${appPort}`]] as const)),
      ["status", `${statusUrl}/healthz/ready`],
      ["page", `${statusUrl}/`],
      ["envoy admin", adminAddress ?? ""],
      ["control plane", controlPlane.address],
    ],
    variables: mesh.variables,
    enter: namespace?.enter,
    [Symbol.asyncDispose]: () => mesh[Symbol.asyncDispose](),
  };
}

function drainOf(agent: RunningAgent): () => Promise<void> {
  let drained: Promise<void> | undefined;
  return () => {
    drained ??= agent.drain();
    return drained;
  };
}

function variablesOf(agent: RunningAgent, adminAddress: string | undefined): Record<string, string> {
  return {
    PILOTBOAT_NODE_ID: agent.node.id,
    ...(adminAddress === undefined ? {} : { PILOTBOAT_ADMIN_URL: adminAddress }),
  };
}

function adminOf(agent: RunningAgent, port: number | undefined) {
  if (port === undefined) return { adminAddress: undefined, admin: undefined };
  return { adminAddress: addressOf(agent)(port), admin: createAdminClient(agent.node.family.localhost, port) };
}

function addressOf({ node }: RunningAgent): (port: number) => string {
  const host = node.family.localhost;
  return (port) => `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}
