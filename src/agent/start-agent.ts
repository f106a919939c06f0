import { allSettled, createMetrics, createTimeline, keepRecent, Lifetime, stoppedOr } from "../base/index.ts";
import type { AgentConfig } from "../config/index.ts";
import { METRIC_PREFIX } from "../istio/index.ts";
import {
  type AgentContext,
  closeParts,
  createParts,
  type Parts,
  plannedPorts,
  type Surroundings,
} from "./parts/index.ts";
import { describePorts } from "./ports/index.ts";
import { claimRunFolder } from "./run-folder/index.ts";
import type { RunningAgent } from "./running-agent.ts";

/** Longest time that the other parts may take to close once Envoy is gone. */
const CLOSE_LIMIT_MS = 10_000;

/**
 * Starts an agent: all parts bind, Envoy is spawned, all parts serve. See docs/architecture.md, "Start". Rejects with
 * STOPPED when a signal or `/quitquitquit` came first; either way a start that fails leaves nothing behind.
 */
export async function startAgent(config: AgentConfig, { log, ...others }: AgentContext): Promise<RunningAgent> {
  const recent = keepRecent(log);
  const context: AgentContext = { ...others, log: recent.log };
  const [quitting, closing] = [new AbortController(), new AbortController()];
  const asked = AbortSignal.any([context.host.signals.stop, quitting.signal]);
  const around: Surroundings = {
    config,
    context,
    metrics: createMetrics(METRIC_PREFIX),
    timeline: createTimeline(),
    recentLines: recent.lines,
    ports: plannedPorts(config),
    stop: AbortSignal.any([asked, closing.signal]),
    quit: (reason) => quitting.abort(new Error(reason)),
  };
  const parts = createParts(around);
  const life = new Lifetime({ limitMs: CLOSE_LIMIT_MS });
  const close = async (): Promise<void> => {
    closing.abort(new Error("the agent is closing"));
    for (const part of [...parts.list].reverse()) await part.finish?.(); // while everything that it talks to still answers
    await closeParts(life, context.log);
  };
  try {
    await start(around, parts, life);
    const { serveAgent } = await import("./serve-agent.ts"); // only now: Envoy boots meanwhile
    return await serveAgent({ around, parts, life, close });
  } catch (error) {
    await close();
    throw stoppedOr(error, asked);
  }
}

/** Everything up to the spawn; loads no library. */
async function start(around: Surroundings, { list, node }: Parts, life: Lifetime): Promise<void> {
  const { config, context, timeline, ports, stop } = around;
  timeline.mark("configuration read");
  stop.throwIfAborted(); // asked to stop while the configuration was read
  context.log.info(`Ports: ${describePorts(ports)}`);
  const folder = life.own("run folder", claimRunFolder(config, context.log));
  await allSettled([folder, ...list.map((part) => part.bind?.(life, folder))]);
  timeline.mark("sockets bound");
  stop.throwIfAborted();
  await node();
  for (const part of list) await part.spawn?.(life);
  stop.throwIfAborted();
}
