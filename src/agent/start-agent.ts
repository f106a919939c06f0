import {
  AgentError,
  type BoundSocket,
  bindTcp,
  bindUnix,
  createMetrics,
  createTimeline,
  describeError,
  type Host,
  Lifetime,
  type Logger,
  type Metrics,
  type MetricsRegistry,
  systemClock,
  type Timeline,
} from "../base/index.ts";
import { renderBootstrap, renderGrpcBootstrap, writeBootstrap, writeGrpcBootstrap } from "../bootstrap/index.ts";
import type { AgentConfig } from "../config/index.ts";
import { askVersion, type FoundEnvoy, findEnvoy } from "../envoy/binary/index.ts";
import {
  createAdminClient,
  type EnvoyEnd,
  envoyArguments,
  envoyEnvironment,
  featuresOf,
  findSetpriv,
  type SupervisedEnvoy,
  superviseEnvoy,
} from "../envoy/index.ts";
import {
  decideSdsSocket,
  hasCredentialSocket,
  type IdentityStatus,
  keySpec,
  planIdentity,
  type SocketPlan,
  startKeyGeneration,
} from "../identity/index.ts";
import { describeNode, gatherFacts, type NodeDescription, UNKNOWN_PLATFORM } from "../node/index.ts";
import {
  adminAccess,
  createReadinessBoard,
  envoyReadiness,
  grpcBootstrapReadiness,
  serveStatus,
} from "../status/index.ts";
import * as options from "./room-options.ts";
import { type Sockets, serveIdentity } from "./serve-identity.ts";

export interface AgentContext {
  readonly host: Host;
  readonly log: Logger;
  /** Called instead of giving up when there is no Envoy. */
  readonly fetchEnvoy?: (stop: AbortSignal) => Promise<FoundEnvoy>;
}

/** Why the agent is done. */
export type AgentEnd =
  | { readonly kind: "asked"; readonly reason: string }
  | { readonly kind: "envoy"; readonly end: EnvoyEnd };

/** An agent whose Envoy was spawned. Disposing it drains and ends Envoy, then closes everything else. */
export interface RunningAgent extends AsyncDisposable {
  /** Settles once: a signal, `/quitquitquit`, or Envoy's own end. Never rejects. */
  readonly ended: Promise<AgentEnd>;
  /** Resolves when `/healthz/ready` would say 200; rejects when the agent ends before. */
  readonly ready: Promise<void>;
  /** Why `/healthz/ready` would say 503 now; undefined when it would not. */
  whyNotReady(): Promise<string | undefined>;
  readonly node: NodeDescription;
  readonly statusPort: number;
  readonly timeline: Timeline;
  envoyPid(): number | undefined;
  identity(): IdentityStatus | undefined;
}

/** Starts an agent: binds, spawns Envoy, then loads what serves it. See docs/architecture.md, "Start". */
export async function startAgent(config: AgentConfig, context: AgentContext): Promise<RunningAgent> {
  const life = new Lifetime();
  try {
    return await assemble(config, context, life);
  } catch (error) {
    await life[Symbol.asyncDispose]();
    throw error;
  }
}

async function assemble(config: AgentConfig, context: AgentContext, life: Lifetime): Promise<RunningAgent> {
  const { host, log } = context;
  const { signals } = host;
  refuseWhatIsMissing(config);
  const timeline = createTimeline();
  timeline.mark("configuration read");
  const registry = createMetrics();
  const metrics = marking(registry, timeline);
  const quitting = new AbortController();
  const stop = AbortSignal.any([signals.stop, quitting.signal]);

  const keys = startKeyGeneration(keySpec(options.keySettings(config)));
  const sds = await decideSdsSocket({ cwd: config.cwd, fileName: config.settings.workloadSocketFile });
  const sockets = await bindSockets(config, sds, life);
  timeline.mark("sockets bound");

  const [node, plan, envoyBinary] = await Promise.all([
    findNode(config, sds, context, stop),
    planIdentity(options.identitySettings(config, sds.isFilesOnly)),
    config.settings.isEnvoyDisabled ? undefined : findBinary(config, context),
  ]);
  for (const note of plan.notes) log.info(note);
  const bootstrapFile = await life.own("bootstrap file", prepareBootstrap(config, node, log));
  timeline.mark("bootstrap written");
  stop.throwIfAborted();

  const envoy =
    envoyBinary && (await spawn({ config, context, node, bootstrapFile: bootstrapFile.path, envoyBinary, metrics }));
  timeline.mark("envoy spawned");
  const closeAll = async (): Promise<void> => {
    quitting.abort(new Error("the agent is closing"));
    try {
      await envoy?.[Symbol.asyncDispose](); // first, while everything it talks to still answers
    } finally {
      await life[Symbol.asyncDispose]();
    }
  };
  try {
    const checks = readinessChecks({ config, node, metrics, log, because: () => parts?.describeTrouble() });
    await life.own(
      "status",
      serveStatus(
        {
          socket: sockets.status,
          board: createReadinessBoard({ checks, stop, log }),
          metrics: registry,
          envoyStats: envoyStats(config, node),
          metricsForLocalhostOnly: config.settings.isMetricsLocalOnly,
          quit() {
            envoy?.skipDrain();
            quitting.abort(new Error("/quitquitquit called"));
          },
          drain: async () => envoy?.drain(),
          commandLine: config.flags.profiling ? ["pilotboat", "proxy", config.role] : undefined,
          log,
        },
        stop,
      ),
    );
    const parts = await life.own(
      "identity and xds",
      serveIdentity({ config, plan, keys, sockets, timeline, log, metrics }, stop),
    );
    timeline.mark("grpc loaded");
    const ended = firstEnd(stop, envoy);
    return {
      ended,
      whyNotReady: () => firstReason(checks),
      ready: waitUntilReady(checks, stop, ended).then(() => noteReady(timeline, log)),
      node,
      timeline,
      statusPort: sockets.status.port,
      envoyPid: () => pidOf(envoy),
      identity: () => parts.identity(),
      [Symbol.asyncDispose]: closeAll,
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/** Asked for, but not part of this version: better said at the start than found out later. */
function refuseWhatIsMissing({ settings, role }: AgentConfig): void {
  const dns = settings.isDnsServer ? "ISTIO_META_ENABLE_DNS_SERVER" : "ISTIO_META_DNS_CAPTURE";
  if (settings.isDnsServer || (settings.isDnsCapture && role === "sidecar")) {
    throw new AgentError("CONFIG_INVALID", `Cannot serve DNS, which ${dns} asks for: this version has no DNS server`, {
      hint: `Unset ${dns}, also in the redirection rules of the pod`,
    });
  }
}

async function bindSockets(config: AgentConfig, sds: SocketPlan, life: Lifetime): Promise<Sockets> {
  const [status, xds, secrets] = await Promise.all([
    life.own("status port", bindTcp("::", config.proxy.statusPort).catch(bindIpv4(config.proxy.statusPort))),
    life.own("xds socket", bindUnix(options.xdsSocketPath(config), { mode: 0o666, folderMode: 0o700 })),
    life.own("sds socket", bindUnix(sds.path, { mode: sds.mode, folderMode: sds.folderMode })),
  ]);
  return { status, xds, sds: secrets };
}

/** Machines without IPv6 cannot listen on `::`; a taken port stays taken. */
function bindIpv4(port: number): (error: unknown) => Promise<BoundSocket> {
  return (error) => {
    if (error instanceof AgentError && error.code === "ADDRESS_IN_USE") throw error;
    return bindTcp("0.0.0.0", port);
  };
}

async function findNode(config: AgentConfig, sds: SocketPlan, { log }: AgentContext, stop: AbortSignal) {
  const facts = await gatherFacts(
    {
      cwd: config.cwd,
      podAnnotations: config.podAnnotations.size === 0 ? undefined : config.podAnnotations,
      platform: Promise.resolve(UNKNOWN_PLATFORM),
      hasCredentialSocket: await hasCredentialSocket(config.cwd),
      hasExternalSds: sds.isFilesOnly,
      log,
    },
    stop,
  );
  const node = describeNode(options.nodeOptions(config), facts);
  for (const warning of node.warnings) log.warn(warning);
  return node;
}

async function findBinary(config: AgentConfig, { host, fetchEnvoy }: AgentContext): Promise<FoundEnvoy> {
  const explicit = options.explicitEnvoys(config);
  const found = await findEnvoy({ explicit, usual: config.proxy.binaryPath, env: host.env, cwd: config.cwd });
  if (found !== undefined) return found;
  if (fetchEnvoy !== undefined) return fetchEnvoy(host.signals.stop);
  throw new AgentError(
    "ENVOY_NOT_FOUND",
    `Cannot find Envoy: there is none at "${config.proxy.binaryPath}", on PATH or in the cache`,
    { hint: 'Run "pilotboat envoy fetch", or name one with --envoy' },
  );
}

async function prepareBootstrap(config: AgentConfig, node: NodeDescription, log: Logger) {
  const { grpcBootstrapPath, outputCerts } = config.settings;
  if (grpcBootstrapPath !== "") {
    const document = renderGrpcBootstrap(config.proxy.configPath, outputCerts, node);
    await writeGrpcBootstrap(options.inRunFolder(config, grpcBootstrapPath), document);
  }
  const { document, warnings } = renderBootstrap(options.bootstrapOptions(config), node);
  for (const warning of warnings) log.warn(warning);
  return writeBootstrap(config.proxy, config.cwd, document);
}

interface SpawnParts {
  readonly config: AgentConfig;
  readonly context: AgentContext;
  readonly node: NodeDescription;
  readonly bootstrapFile: string;
  readonly envoyBinary: FoundEnvoy;
  readonly metrics: Metrics;
}

async function spawn(parts: SpawnParts): Promise<SupervisedEnvoy> {
  const { config, context, node, bootstrapFile, envoyBinary, metrics } = parts;
  const { host, log } = context;
  const wanted = options.argumentsOptions(config, node, bootstrapFile);
  // only one optional flag differs between versions: an unknown Envoy is asked only when that flag is wanted
  const version =
    wanted.fileFlushMinSizeKb > 0 ? (envoyBinary.version ?? (await askVersion(envoyBinary.path))) : undefined;
  const { list, warnings } = envoyArguments(wanted, featuresOf(version));
  for (const warning of warnings) log.warn(warning);
  log.info(`Envoy command: ${JSON.stringify(list)}`, { binary: envoyBinary.path });
  return superviseEnvoy({
    spawn: {
      binary: envoyBinary.path,
      args: list,
      cwd: config.cwd,
      env: envoyEnvironment(host.env, config.settings.compliancePolicy),
      runAs: options.runAs(config, process.getuid?.()),
      setpriv: await findSetpriv(host.env.PATH),
      stdout: host.stdout,
      stderr: host.stderr,
    },
    admin: createAdminClient(localhostOf(node), config.proxy.proxyAdminPort),
    drain: options.drainOptions(config),
    restart: options.restartPolicy(config),
    signals: host.signals,
    log,
    metrics,
  });
}

function readinessChecks(parts: {
  readonly config: AgentConfig;
  readonly node: NodeDescription;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly because: () => string | undefined;
}) {
  const { config, node, metrics, log, because } = parts;
  const adminGet = adminAccess(localhostOf(node), config.proxy.proxyAdminPort);
  const envoy = envoyReadiness({ adminGet, because, metrics, log, startedMs: performance.timeOrigin });
  const { grpcBootstrapPath, isEnvoyDisabled } = config.settings;
  return [
    ...(isEnvoyDisabled ? [] : [envoy]),
    ...(grpcBootstrapPath === "" ? [] : [grpcBootstrapReadiness(options.inRunFolder(config, grpcBootstrapPath))]),
  ];
}

function envoyStats({ settings }: AgentConfig, node: NodeDescription) {
  if (settings.isEnvoyDisabled || !settings.isEnvoyStatsMerged) return undefined;
  return { host: localhostOf(node), port: settings.envoyPrometheusPort };
}

function localhostOf(node: NodeDescription): string {
  return node.ipMode === "IPv6" ? "::1" : "127.0.0.1";
}

function firstEnd(stop: AbortSignal, envoy: SupervisedEnvoy | undefined): Promise<AgentEnd> {
  const asked = new Promise<AgentEnd>((resolve) => {
    const done = (): void => resolve({ kind: "asked", reason: String((stop.reason as Error).message) });
    if (stop.aborted) done();
    else stop.addEventListener("abort", done, { once: true });
  });
  if (envoy === undefined) return asked;
  return Promise.race([asked, envoy.ended.then((end): AgentEnd => ({ kind: "envoy", end }))]);
}

const READY_POLL_MS = 10;
const READY_POLL_MOST_MS = 1_000;

/** Asks until all is ready, at first often, because the first moments are when it changes. */
async function waitUntilReady(
  checks: ReturnType<typeof readinessChecks>,
  stop: AbortSignal,
  ended: Promise<AgentEnd>,
): Promise<void> {
  let isOver = false;
  void ended.then(() => {
    isOver = true;
  });
  for (let waitMs = READY_POLL_MS; !isOver; waitMs = Math.min(waitMs * 1.2, READY_POLL_MOST_MS)) {
    if ((await firstReason(checks)) === undefined) return;
    await systemClock.sleep(waitMs, stop).catch(() => undefined);
  }
  throw new AgentError("STOPPED", "The agent ended before it was ready");
}

async function firstReason(checks: ReturnType<typeof readinessChecks>): Promise<string | undefined> {
  for (const check of checks) {
    try {
      const reason = await check.check();
      if (reason !== undefined) return reason;
    } catch (error) {
      return describeError(error); // not being able to ask is a reason, too
    }
  }
  return undefined;
}

function noteReady(timeline: Timeline, log: Logger): void {
  timeline.mark("ready");
  const rounded = [...timeline.marks].map(([step, ms]) => [step, Math.round(ms * 10) / 10] as const);
  log.info(`Start: ${rounded.map(([step, ms]) => `${step} ${Math.round(ms)} ms`).join(", ")}`);
  // for programs, which read JSON logs: milliseconds since `startedMs`, itself since the epoch
  log.debug("Start timeline", { timeline: { startedMs: performance.timeOrigin, steps: Object.fromEntries(rounded) } });
}

/** Notes a moment of the start that only the relay sees, by what it counts. */
function marking(registry: MetricsRegistry, timeline: Timeline): Metrics {
  return {
    ...registry,
    count(name, labels, by) {
      if (name === "xds_proxy_requests") timeline.mark("first xds request");
      registry.count(name, labels, by);
    },
  };
}

function pidOf(envoy: SupervisedEnvoy | undefined): number | undefined {
  const state = envoy?.state();
  return state !== undefined && "pid" in state ? state.pid : undefined;
}
