import {
  AgentError,
  createMetrics,
  createTimeline,
  Lifetime,
  type Logger,
  type Metrics,
  type MetricsRegistry,
  type Timeline,
} from "../base/index.ts";
import type { AgentConfig } from "../config/index.ts";
import type { EnvoyEnd, SupervisedEnvoy } from "../envoy/supervisor/index.ts";
import type { IdentityStatus } from "../identity/index.ts";
import type { NodeDescription } from "../node/index.ts";
import { createReadinessBoard, serveStatus } from "../status/index.ts";
import type { AgentContext } from "./agent-context.ts";
import { type AgentReport, describeAgent } from "./agent-report.ts";
import { type PreparedAgent, prepareAgent } from "./prepare-agent.ts";
import { firstReason, readinessChecks, waitUntilReady } from "./readiness.ts";
import type { Reload } from "./reload.ts";
import * as options from "./room-options.ts";
import { type ServedIdentity, serveIdentity } from "./serve-identity.ts";
import { type EnvoyPlan, spawnEnvoy } from "./spawn-envoy.ts";
import { watchConfig } from "./watch-config.ts";

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
  /** `POST /drain`: Envoy drains and runs on; disposal then ends it without waiting. */
  drain(): Promise<void>;
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
  refuseWhatIsMissing(config);
  const timeline = createTimeline();
  timeline.mark("configuration read");
  const registry = createMetrics();
  const quitting = new AbortController();
  const stop = AbortSignal.any([context.host.signals.stop, quitting.signal]);
  const prepared = await prepareAgent(config, context, { life, timeline, stop });
  stop.throwIfAborted();
  const metrics = marking(registry, timeline);
  const envoy = prepared.envoy && (await superviseEnvoy(prepared.envoy, { config, context, prepared, metrics }));
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
    return await serve({
      config,
      context,
      life,
      prepared,
      timeline,
      registry,
      metrics,
      envoy,
      quitting,
      stop,
      closeAll,
    });
  } catch (error) {
    await closeAll();
    throw error;
  }
}

function superviseEnvoy(
  plan: EnvoyPlan,
  parts: { config: AgentConfig; context: AgentContext; prepared: PreparedAgent; metrics: Metrics },
): Promise<SupervisedEnvoy> {
  const { node, runFolder } = parts.prepared;
  return spawnEnvoy({ ...plan, ...parts, node, onSpawn: (pid, command) => runFolder.noteEnvoy(pid, command) });
}

interface ServeParts {
  readonly config: AgentConfig;
  readonly context: AgentContext;
  readonly life: Lifetime;
  readonly prepared: PreparedAgent;
  readonly timeline: Timeline;
  readonly registry: MetricsRegistry;
  readonly metrics: Metrics;
  readonly envoy: SupervisedEnvoy | undefined;
  readonly quitting: AbortController;
  readonly stop: AbortSignal;
  readonly closeAll: () => Promise<void>;
}

/** While Envoy boots: everything that it and others will ask for. */
async function serve(parts: ServeParts): Promise<RunningAgent> {
  const { config, context, life, prepared, timeline, metrics, envoy, stop } = parts;
  const { node, sockets, isFilesOnly, keys, identity: plan } = prepared;
  const { log } = context;
  let served: ServedIdentity | undefined; // the status port answers before there is one
  const checks = readinessChecks({ config, node, metrics, log, because: () => served?.describeTrouble() });
  const board = createReadinessBoard({ checks, stop, log });
  const reload = reloading(parts);
  const statusOptions = { ...statusPort(parts), board, reload, agentReport: () => report(parts, served) };
  await life.own("status", serveStatus(statusOptions, stop));
  const envoys = (): number => Math.max(1, envoy?.count() ?? 0);
  served = await life.own(
    "identity and xds",
    serveIdentity({ config, plan, keys, sockets, isFilesOnly, timeline, log, metrics, envoys }, stop),
  );
  if (config.flags.watch && reload !== undefined) {
    await life.own(
      "configuration watch",
      watchConfig(config, log, () => reload({ evenIfUnchanged: false })),
    );
  }
  timeline.mark("grpc loaded");
  const ended = firstEnd(stop, envoy);
  const ready = waitUntilReady(checks, stop, ended).then(() => noteReady(timeline, log));
  ready.catch(() => undefined); // whoever waits for it is told; nobody has to wait
  return {
    ...{ ended, ready, node, timeline },
    whyNotReady: () => firstReason(checks),
    statusPort: sockets.status.port,
    envoyPid: () => envoy?.pid(),
    drain: async () => envoy?.drain(),
    identity: () => served?.identity(),
    [Symbol.asyncDispose]: parts.closeAll,
  };
}

function report({ config, prepared, timeline, envoy }: ServeParts, served: ServedIdentity | undefined): AgentReport {
  return describeAgent({ config, node: prepared.node, timeline, envoy, served });
}

function statusPort({ config, context, prepared, registry, envoy, quitting }: ServeParts) {
  return {
    socket: prepared.sockets.status,
    metrics: registry,
    envoyStats: options.envoyStats(config, prepared.node),
    metricsForLocalhostOnly: config.settings.isMetricsLocalOnly,
    quit() {
      envoy?.skipDrain();
      quitting.abort(new Error("/quitquitquit called"));
    },
    drain: async () => envoy?.drain(),
    commandLine: config.flags.profiling ? ["pilotboat", "proxy", config.role] : undefined,
    log: context.log,
  };
}

/** Its code is loaded where it may be needed. */
function reloading({ config, context, prepared, envoy, stop }: ServeParts): Reload | undefined {
  const { spawn } = prepared.envoy ?? {};
  if (envoy === undefined || spawn === undefined) return undefined;
  const make = async (): Promise<Reload> => {
    const { createReload } = await import("./reload.ts");
    return createReload({ config, context, envoy, spawn, hasExternalSds: prepared.isFilesOnly, stop });
  };
  let made = config.settings.isHotRestart ? make() : undefined;
  made?.catch(() => undefined); // told to whoever asks
  return async (wanted) => {
    made ??= make();
    return (await made)(wanted);
  };
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

function firstEnd(stop: AbortSignal, envoy: SupervisedEnvoy | undefined): Promise<AgentEnd> {
  const asked = new Promise<AgentEnd>((resolve) => {
    const done = (): void => resolve({ kind: "asked", reason: String((stop.reason as Error).message) });
    if (stop.aborted) done();
    else stop.addEventListener("abort", done, { once: true });
  });
  if (envoy === undefined) return asked;
  return Promise.race([asked, envoy.ended.then((end): AgentEnd => ({ kind: "envoy", end }))]);
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
