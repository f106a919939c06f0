import { type Clock, type Logger, type Metrics, pause, systemClock } from "../base/index.ts";
import { type Answer, askWorkload, type Workload } from "./ask-workload.ts";
import { HEALTHY, PROBES } from "./metrics.ts";
import { Verdicts } from "./verdicts.ts";
import { describeMethod, type WorkloadProbe } from "./workload-probe.ts";

export interface HealthCheckOptions {
  readonly probe: WorkloadProbe;
  readonly workload: Workload;
  /** Called at each change of the verdict: undefined for healthy, otherwise why not. */
  readonly report: (reason: string | undefined) => void;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock?: Clock;
}

/** What is known of the workload. Times are milliseconds since the epoch. */
export interface WorkloadHealth {
  /** What is asked, for people. */
  readonly probe: string;
  /** `pending` until the first threshold is met: the control plane has no report yet. */
  readonly state: "pending" | "healthy" | "unhealthy";
  readonly sinceMs: number;
  /** Absent before the first question. */
  readonly lastProbeMs?: number;
  /** Of the last answer that was not healthy. */
  readonly lastError?: { readonly text: string; readonly atMs: number };
}

/** Disposing it ends a question that is under way, with its program. */
export interface HealthCheck extends AsyncDisposable {
  health(): WorkloadHealth;
}

/**
 * Asks the workload at once after the initial delay, then once in each period; a slow answer delays the next question,
 * and questions never overlap. Source: istio/istio pkg/istio-agent/health/health_check.go.
 */
export function startHealthCheck(options: HealthCheckOptions): HealthCheck {
  const { probe, workload, clock = systemClock } = options;
  const over = new AbortController();
  const log = options.log.scope("healthcheck");
  const verdicts = new Verdicts(probe);
  const words = describeMethod(probe.method, workload.defaultHost);
  let health: WorkloadHealth = { probe: words, state: "pending", sinceMs: clock.now() };
  const take = (answer: Answer): void => {
    options.metrics.count(PROBES, { result: answer.result });
    const isHealthy = answer.result === "healthy";
    const reason = isHealthy ? undefined : answer.reason;
    log.debug(`probe completed with ${answer.result} status`, reason === undefined ? {} : { reason });
    const nowMs = clock.now();
    health = {
      ...health,
      lastProbeMs: nowMs,
      ...(reason === undefined ? {} : { lastError: { text: reason, atMs: nowMs } }),
    };
    if (!verdicts.take(isHealthy)) return;
    health = { ...health, state: isHealthy ? "healthy" : "unhealthy", sinceMs: nowMs };
    options.metrics.gauge(HEALTHY, Number(isHealthy));
    if (reason === undefined) log.info("success threshold hit, marking as healthy");
    else log.warn(`failure threshold hit, marking as unhealthy: ${reason}`);
    options.report(reason);
  };
  const loop = async (): Promise<void> => {
    log.info(`starting health check for ${words} in ${probe.initialDelayMs / 1_000}s`);
    await pause(probe.initialDelayMs, over.signal, clock);
    let startMs: number | undefined;
    for (let asked = 1; !over.signal.aborted; asked++) {
      const answer = await askWorkload(probe, workload, over.signal);
      if (over.signal.aborted) return;
      take(answer);
      startMs ??= clock.now(); // periods count from the first answer
      const passed = Math.floor((clock.now() - startMs) / probe.periodMs);
      if (passed >= asked)
        asked = passed; // the question of a period that has begun meanwhile is asked at once
      else await pause(Math.min(startMs + asked * probe.periodMs - clock.now(), probe.periodMs), over.signal, clock);
    }
  };
  const running = loop();
  return {
    health: () => health,
    async [Symbol.asyncDispose]() {
      over.abort(new Error("the agent is closing"));
      await running;
    },
  };
}
