import { createMetrics, createTimeline, Lifetime, type Metrics, stoppedOr } from "../base/index.ts";
import type { AgentConfig } from "../config/index.ts";
import type { SupervisedEnvoy } from "../envoy/supervisor/index.ts";
import { METRIC_PREFIX } from "../istio/index.ts";
import type { AgentContext } from "./agent-context.ts";
import { closeParts } from "./close-parts.ts";
import { type PreparedAgent, prepareAgent } from "./prepare-agent.ts";
import type { RunningAgent } from "./running-agent.ts";
import { type EnvoyPlan, spawnEnvoy } from "./start-envoy/index.ts";

/** Longest time that the other parts may take to close once Envoy is gone. */
const CLOSE_LIMIT_MS = 10_000;

/**
 * Starts an agent: binds, spawns Envoy, then loads what serves it. See docs/architecture.md, "Start". Rejects with STOPPED
 * when a signal or `/quitquitquit` came first; either way a start that fails leaves nothing behind.
 */
export async function startAgent(config: AgentConfig, context: AgentContext): Promise<RunningAgent> {
  const life = new Lifetime({ limitMs: CLOSE_LIMIT_MS });
  const quitting = new AbortController();
  const asked = AbortSignal.any([context.host.signals.stop, quitting.signal]);
  try {
    return await assemble(config, context, { life, quitting, asked });
  } catch (error) {
    await closeParts(life, context.log);
    throw stoppedOr(error, asked);
  }
}

interface Bounds {
  readonly life: Lifetime;
  /** Aborts with `/quitquitquit`. */
  readonly quitting: AbortController;
  /** Aborts when somebody asks for the end: with `quitting`, or with the first signal. */
  readonly asked: AbortSignal;
}

async function assemble(
  config: AgentConfig,
  context: AgentContext,
  { life, quitting, asked }: Bounds,
): Promise<RunningAgent> {
  const timeline = createTimeline();
  timeline.mark("configuration read");
  const registry = createMetrics(METRIC_PREFIX);
  const closing = new AbortController();
  const stop = AbortSignal.any([asked, closing.signal]);
  stop.throwIfAborted(); // asked to stop while the configuration was read
  const prepared = await prepareAgent(config, context, { life, timeline, stop });
  stop.throwIfAborted();
  const envoy =
    prepared.envoy && (await superviseEnvoy(prepared.envoy, { config, context, prepared, metrics: registry }));
  if (envoy !== undefined) timeline.mark("envoy spawned");
  const closeAll = async (): Promise<void> => {
    closing.abort(new Error("the agent is closing"));
    if (envoy !== undefined) await closeParts(envoy, context.log); // first, while everything it talks to still answers
    await closeParts(life, context.log);
  };
  try {
    const { serveAgent } = await import("./serve-agent.ts"); // only now: Envoy boots meanwhile
    return await serveAgent({
      config,
      context,
      life,
      prepared,
      timeline,
      registry,
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
  const { node, runFolder, meetingPlace } = parts.prepared;
  return spawnEnvoy({ ...plan, ...parts, node, runFolder, socketPath: meetingPlace?.socketPath });
}
