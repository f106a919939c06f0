import type { Lifetime, Logger, MetricsRegistry, Timeline } from "../base/index.ts";
import type { AgentConfig } from "../config/index.ts";
import type { SupervisedEnvoy } from "../envoy/supervisor/index.ts";
import { createReadinessBoard, serveStatus } from "../status/index.ts";
import type { AgentContext } from "./agent-context.ts";
import { type AgentReport, describeAgent, describeLeftOut, describeWasm } from "./agent-report.ts";
import { warnOfSharedPorts } from "./ports/index.ts";
import type { PreparedAgent } from "./prepare-agent.ts";
import { firstReason, readinessChecks, waitUntilReady } from "./readiness.ts";
import { type Reload, type Reloader, watchConfig } from "./reload/index.ts";
import * as options from "./room-options.ts";
import type { AgentEnd, RunningAgent } from "./running-agent.ts";
import { type ServedIdentity, serveIdentity } from "./serve-identity.ts";
import { isProxyless } from "./start-envoy/index.ts";

export interface ServeParts {
  readonly config: AgentConfig;
  readonly context: AgentContext;
  readonly life: Lifetime;
  readonly prepared: PreparedAgent;
  readonly timeline: Timeline;
  readonly registry: MetricsRegistry;
  readonly envoy: SupervisedEnvoy | undefined;
  readonly quitting: AbortController;
  readonly stop: AbortSignal;
  readonly closeAll: () => Promise<void>;
}

/** Everything that Envoy and others will ask for, loaded and served while Envoy boots. */
export async function serveAgent(parts: ServeParts): Promise<RunningAgent> {
  const { config, context, life, prepared, timeline, registry: metrics, envoy, stop } = parts;
  const { node, sockets, isFilesOnly, keys, identity: plan } = prepared;
  const { log } = context;
  let served: ServedIdentity | undefined; // the status port answers before there is one
  const because = (): string | undefined => served?.describeTrouble();
  const refusal = (): string | undefined => served?.describeRefusal();
  const checks = readinessChecks({ config, node, metrics, log, because, refusal });
  const board = createReadinessBoard({ checks, stop, log });
  const reload = reloading(parts, () => served?.whyNoControlPlane());
  const socket = prepared.sockets.status;
  if (socket !== undefined) {
    const agentReport = (): AgentReport => report(parts, served);
    const notes = (): string[] => [
      ...(served?.leftOut() ?? []).map(describeLeftOut),
      ...(served?.substitutedWasm() ?? []).map(describeWasm),
    ];
    const statusOptions = { ...statusParts(parts), socket, board, notes, reload, agentReport };
    await life.own("status", serveStatus(statusOptions, stop));
  }
  const envoys = (): number => (isProxyless(config, node) ? 0 : Math.max(1, envoy?.count() ?? 0));
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
  const ready = waitUntilReady(checks, ended, log).then(() => {
    noteReady(timeline, log);
    const pid = envoy?.pid();
    if (pid !== undefined && envoy?.count() === 1) void warnOfSharedPorts(pid, log);
  });
  ready.catch(() => undefined); // whoever waits for it is told; nobody has to wait
  return {
    ...{ ended, ready, node, timeline },
    whyNotReady: () => firstReason(checks),
    statusPort: sockets.status?.port,
    envoyPid: () => envoy?.pid(),
    drain: async () => envoy?.drain(),
    identity: () => served?.identity(),
    [Symbol.asyncDispose]: parts.closeAll,
  };
}

function report({ config, prepared, timeline, envoy }: ServeParts, served: ServedIdentity | undefined): AgentReport {
  return describeAgent({ config, node: prepared.node, timeline, envoy, served });
}

function statusParts({ config, context, prepared, registry, envoy, quitting }: ServeParts) {
  return {
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
function reloading(
  { config, context, prepared, envoy, stop, life }: ServeParts,
  whyNoControlPlane: () => string | undefined,
): Reload | undefined {
  const { spawn } = prepared.envoy ?? {};
  if (envoy === undefined || spawn === undefined) return undefined;
  const hasExternalSds = prepared.isFilesOnly;
  const make = async (): Promise<Reloader> => {
    const { createReloader } = await import("./reload/reload.ts");
    return createReloader({ config, context, envoy, spawn, hasExternalSds, whyNoControlPlane, stop });
  };
  let made = config.settings.isHotRestart ? make() : undefined;
  made?.catch(() => undefined); // told to whoever asks
  life.defer("reload", async () => (await made?.catch(() => undefined))?.[Symbol.asyncDispose]());
  return async (wanted) => {
    made ??= make();
    return (await made).reload(wanted);
  };
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
