import { aborted, type Lifetime, type Logger, type Timeline } from "../base/index.ts";
import { createReadinessBoard } from "../status/index.ts";
import type { AgentEnd, Part, Parts, Surroundings } from "./parts/index.ts";
import { waitUntilReady } from "./readiness.ts";
import type { RunningAgent } from "./running-agent.ts";

export interface ServeOptions {
  readonly around: Surroundings;
  readonly parts: Parts;
  readonly life: Lifetime;
  readonly close: () => Promise<void>;
}

/** Everything that Envoy and others will ask for, loaded and served while Envoy boots. */
export async function serveAgent({ around, parts, life, close }: ServeOptions): Promise<RunningAgent> {
  const { context, timeline, stop } = around;
  const { log } = context;
  const { list, status, identity, envoy } = parts;
  const node = await parts.node();
  stop.throwIfAborted(); // asked to stop while this file was loaded
  // Envoy's reason comes first, as in Istio: without a configuration there is no name table, either
  const asked = [envoy, ...list.filter((part) => part !== envoy)];
  const checks = (await Promise.all(asked.map((part) => part.readiness?.(node) ?? []))).flat();
  const readiness = createReadinessBoard({ checks, stop, log });
  for (const part of list) {
    await part.serve?.({ life, node, readiness });
    stop.throwIfAborted(); // nothing is opened for an agent that is asked to stop
  }
  const ended = firstEnd(stop, list);
  const hints = list.flatMap(({ readySoon }) => readySoon ?? []);
  const soon = hints.length === 0 ? undefined : AbortSignal.any(hints);
  const ready = waitUntilReady(readiness, { ended, soon, log }).then(() => {
    noteReady(timeline, log);
    for (const part of list) part.noteReady?.();
  });
  ready.catch(() => undefined); // whoever waits for it is told; nobody has to wait
  return {
    ...{ ended, ready, node, timeline },
    async whyNotReady() {
      const answer = await readiness.look();
      return answer.isReady ? undefined : answer.reason;
    },
    watchReadiness: (listener) => readiness.watch(listener),
    statusPort: status.port,
    envoyPid: () => envoy.pid(),
    drain: () => envoy.drain(),
    skipDrain: () => envoy.skipDrain(),
    identity: () => identity.status(),
    stillOpen: () => life.open,
    [Symbol.asyncDispose]: close,
  };
}

function firstEnd(stop: AbortSignal, parts: readonly Part[]): Promise<AgentEnd> {
  const asked = aborted(stop).then((): AgentEnd => ({ kind: "asked", reason: String((stop.reason as Error).message) }));
  return Promise.race([asked, ...parts.flatMap((part) => part.ended?.() ?? [])]);
}

function noteReady(timeline: Timeline, log: Logger): void {
  timeline.mark("ready");
  const rounded = [...timeline.marks].map(([step, ms]) => [step, Math.round(ms * 10) / 10] as const);
  log.info(`Start: ${rounded.map(([step, ms]) => `${step} ${Math.round(ms)} ms`).join(", ")}`);
  // for programs, which read JSON logs: milliseconds since `startedMs`, itself since the epoch
  log.debug("Start timeline", { timeline: { startedMs: performance.timeOrigin, steps: Object.fromEntries(rounded) } });
}
