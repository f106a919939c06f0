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
import type { EnvoyEnd, SupervisedEnvoy } from "../envoy/index.ts";
import { decideSdsSocket, type IdentityStatus, keySpec, planIdentity, startKeyGeneration } from "../identity/index.ts";
import type { NodeDescription } from "../node/index.ts";
import { createReadinessBoard, serveStatus } from "../status/index.ts";
import type { AgentContext } from "./agent-context.ts";
import { describeAgent } from "./agent-report.ts";
import { bindSockets } from "./bind-sockets.ts";
import { findNode } from "./find-node.ts";
import { prepareBootstrap } from "./prepare-bootstrap.ts";
import { firstReason, readinessChecks, waitUntilReady } from "./readiness.ts";
import * as options from "./room-options.ts";
import { claimRunFolder } from "./run-file.ts";
import { type ServedIdentity, serveIdentity } from "./serve-identity.ts";
import { findBinary, spawnEnvoy } from "./spawn-envoy.ts";

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
  const [runFolder, sds] = await Promise.all([
    life.own("run folder", claimRunFolder(config, log)),
    decideSdsSocket({ cwd: config.cwd, fileName: config.settings.workloadSocketFile }),
  ]);
  const sockets = await bindSockets(config, sds, life);
  runFolder.noteStatusPort(sockets.status.port);
  timeline.mark("sockets bound");

  const [node, plan, envoyBinary] = await Promise.all([
    findNode(config, sds.isFilesOnly, log, stop),
    planIdentity(options.identitySettings(config, sds.isFilesOnly)),
    config.settings.isEnvoyDisabled ? undefined : findBinary(config, context),
  ]);
  if (sds.isFilesOnly) log.info("Existing workload SDS socket found, serving file certificates only");
  for (const note of plan.notes) log.info(note);
  const bootstrapFile = await life.own("bootstrap file", prepareBootstrap(config, node, log));
  timeline.mark("bootstrap written");
  stop.throwIfAborted();

  const envoy =
    envoyBinary &&
    (await spawnEnvoy({
      config,
      context,
      node,
      bootstrapFile: bootstrapFile.path,
      envoyBinary,
      metrics,
      onSpawn: (pid, command) => runFolder.noteEnvoy(pid, command),
    }));
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
    let served: ServedIdentity | undefined; // the status port answers before there is one
    const because = (): string | undefined => served?.describeTrouble();
    const checks = readinessChecks({ config, node, metrics, log, because });
    await life.own(
      "status",
      serveStatus(
        {
          socket: sockets.status,
          board: createReadinessBoard({ checks, stop, log }),
          metrics: registry,
          envoyStats: options.envoyStats(config, node),
          metricsForLocalhostOnly: config.settings.isMetricsLocalOnly,
          quit() {
            envoy?.skipDrain();
            quitting.abort(new Error("/quitquitquit called"));
          },
          drain: async () => envoy?.drain(),
          agentReport: () => describeAgent({ config, node, timeline, envoy, served }),
          commandLine: config.flags.profiling ? ["pilotboat", "proxy", config.role] : undefined,
          log,
        },
        stop,
      ),
    );
    served = await life.own(
      "identity and xds",
      serveIdentity({ config, plan, keys, sockets, isFilesOnly: sds.isFilesOnly, timeline, log, metrics }, stop),
    );
    timeline.mark("grpc loaded");
    const ended = firstEnd(stop, envoy);
    const ready = waitUntilReady(checks, stop, ended).then(() => noteReady(timeline, log));
    ready.catch(() => undefined); // whoever waits for it is told; nobody has to wait
    return {
      ended,
      ready,
      whyNotReady: () => firstReason(checks),
      node,
      timeline,
      statusPort: sockets.status.port,
      envoyPid: () => envoy?.pid(),
      drain: async () => envoy?.drain(),
      identity: () => served?.identity(),
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
