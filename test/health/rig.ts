import { onTestFinished } from "vitest";
import { createLogger, createMetrics, type LogLevel } from "../../src/base/index.ts";
import type { Workload } from "../../src/health/ask-workload.ts";
import { readProbe, startHealthCheck } from "../../src/health/index.ts";
import { proxyConfigFromJson } from "../../src/istio/mesh/index.ts";

/** A `readinessProbe` as ProxyConfig has it, with times that tests can wait for. */
export function probeOf(readinessProbe: object, times: { timeoutMs?: number; periodMs?: number } = {}) {
  const { readinessProbe: found } = proxyConfigFromJson({ readinessProbe });
  if (found === undefined) throw new Error("no probe");
  return { ...readProbe(found), timeoutMs: 3_000, periodMs: 20, ...times };
}

export const HERE: Workload = {
  ...{ defaultHost: "127.0.0.1", source: "127.0.0.6", env: process.env, cwd: process.cwd(), setpriv: undefined },
};

/** A health check that runs until the test is over, and what it reports: `healthy`, or why not. */
export function check(
  readinessProbe: object,
  { workload = {}, ...times }: { workload?: Partial<Workload>; timeoutMs?: number; periodMs?: number } = {},
) {
  const events: string[] = [];
  const log: string[] = [];
  const metrics = createMetrics("x_");
  const running = startHealthCheck({
    probe: probeOf(readinessProbe, times),
    workload: { ...HERE, ...workload },
    report: (reason) => events.push(reason ?? "healthy"),
    log: createLogger({
      write: (line) => log.push(line),
      levels: new Map<string, LogLevel>([["healthcheck", "debug"]]),
    }),
    metrics,
  });
  onTestFinished(() => running[Symbol.asyncDispose]());
  return { ...running, events, log, metrics: () => metrics.render(), stop: () => running[Symbol.asyncDispose]() };
}
