import { type Clock, describeError, type Logger, pause } from "../../base/index.ts";
import type { AdminClient } from "../admin-client.ts";
import { drainCall, type EnvoyFeatures } from "../version-table.ts";
import { CONNECTIONS_PATH, countConnections, countRequests } from "./connections.ts";

/** The settings of an orderly end. All times in milliseconds. */
export interface DrainOptions {
  /** Sidecars drain what comes in and keep what goes out, until the application is gone. */
  readonly isInboundOnly: boolean;
  /** Wait before the drain begins. */
  readonly delayMs: number;
  /** `terminationDrainDuration`: the fixed time, or the most that is waited for connections; there 0 and Infinity are no bound. */
  readonly terminationMs: number;
  /** `EXIT_ON_ZERO_ACTIVE_CONNECTIONS`: wait for the last connection instead of a fixed time. */
  readonly isExitOnZeroConnections: boolean;
  /** `MINIMUM_DRAIN_DURATION`, before connections are counted. */
  readonly minimumMs: number;
  /** Longest time from the signal to SIGTERM; 0 for none. */
  readonly deadlineMs: number;
  /** Ports of the agent's own listeners, whose connections do not count. */
  readonly ownPorts: readonly number[];
}

export interface DrainParts {
  readonly drain: DrainOptions;
  readonly features: EnvoyFeatures;
  readonly admin: AdminClient;
  readonly log: Logger;
  readonly clock: Clock;
}

const ADMIN_LIMIT_MS = 5_000;
const POLL_MS = 1_000;
const POLL_LIMIT_MS = 2_000;
const POLL_FAILURES = 5;

/**
 * Asks Envoy to drain. Resolves with whether it does; a failure is logged. `keepsAccepting` is for an Envoy that goes on:
 * its listeners then stay open beyond the drain time.
 */
export async function requestDrain(
  { admin, drain, features, log }: DrainParts,
  keepsAccepting: boolean,
  cut?: AbortSignal,
  limitMs = ADMIN_LIMIT_MS,
): Promise<boolean> {
  const { path, warnings } = drainCall({ isInboundOnly: drain.isInboundOnly, keepsAccepting }, features);
  for (const warning of warnings) log.warn(warning);
  try {
    const body = await admin.post(path, limitMs, cut);
    log.debug("Drain requested", { path, body });
    return true;
  } catch (error) {
    log.warn("Cannot request the drain; continuing", { path, error: describeError(error) });
    return false;
  }
}

/**
 * Drains Envoy and waits as configured: for a fixed time, or until no connection is open. Resolves when it may be
 * ended, at once when `cut` aborts. Source of the two rules: istio/istio pkg/envoy/agent.go.
 */
export async function drainAndWait(options: DrainParts, cut: AbortSignal): Promise<void> {
  const { drain, log, clock } = options;
  log.info(`Stopping: ${describePlan(drain)}; a second signal ends the wait`);
  const deadline = drain.deadlineMs > 0 ? clock.now() + drain.deadlineMs : Number.POSITIVE_INFINITY;
  const left = (ms: number): number => Math.min(ms, deadline - clock.now());
  await pause(left(drain.delayMs), cut, clock);
  if (cut.aborted) return;
  await requestDrain(options, false, cut, left(ADMIN_LIMIT_MS));
  if (drain.isExitOnZeroConnections) {
    await pause(left(drain.minimumMs), cut, clock);
    const until = isBounded(drain) ? clock.now() + drain.terminationMs : Number.POSITIVE_INFINITY;
    await waitForZero(Math.min(until, deadline), cut, options);
  } else {
    await pause(left(drain.terminationMs), cut, clock);
  }
  await finishRequests(options, left(FINISH_LIMIT_MS), cut);
}

/** Longest time for what is in flight when the drain is over; most requests take some milliseconds. */
const FINISH_LIMIT_MS = 1_000;
const FINISH_POLL_MS = 5;
const REQUESTS_PATH = "/stats?usedonly&filter=downstream_rq_active$";

/**
 * Until now Envoy took new connections, as the reference has it; a client that has just connected would be cut off in the
 * middle of a request. So the listeners close for good, and what was accepted is answered before Envoy ends.
 */
async function finishRequests(
  { admin, drain, clock, log }: DrainParts,
  limitMs: number,
  cut: AbortSignal,
): Promise<void> {
  const until = clock.now() + limitMs;
  try {
    if (cut.aborted || limitMs <= 0) return;
    await admin.post(`/drain_listeners${drain.isInboundOnly ? "?inboundonly" : ""}`, limitMs, cut);
    while (!cut.aborted && clock.now() < until) {
      const active = countRequests(await admin.get(REQUESTS_PATH, limitMs, cut));
      if (active === 0) return;
      await pause(FINISH_POLL_MS, cut, clock);
    }
    if (!cut.aborted) log.info("Requests are still open when the drain ends");
  } catch (error) {
    if (!cut.aborted) log.debug("Cannot wait for the last requests", { error: describeError(error) });
  }
}

/** One line that says what will happen, with the times. */
export function describePlan(drain: DrainOptions): string {
  const steps = [
    ...(drain.delayMs > 0 ? [`wait ${drain.delayMs} ms`] : []),
    drain.isInboundOnly ? "drain inbound listeners" : "drain listeners",
    drain.isExitOnZeroConnections
      ? `wait ${drain.minimumMs} ms, then until no connection is open${isBounded(drain) ? `, at most ${drain.terminationMs} ms` : ""}`
      : `wait ${drain.terminationMs} ms`,
    "end Envoy",
  ];
  return steps.join(", ") + (drain.deadlineMs > 0 ? `; all within ${drain.deadlineMs} ms` : "");
}

function isBounded({ terminationMs }: DrainOptions): boolean {
  return terminationMs > 0 && Number.isFinite(terminationMs);
}

async function waitForZero(until: number, cut: AbortSignal, options: DrainParts): Promise<void> {
  const { admin, clock, drain, log } = options;
  let failures = 0;
  for (; !cut.aborted; await pause(Math.min(POLL_MS, until - clock.now()), cut, clock)) {
    if (clock.now() >= until) {
      log.warn("Connections are still open when the drain ends");
      return;
    }
    try {
      const limitMs = Math.min(POLL_LIMIT_MS, until - clock.now());
      const { active, odd } = countConnections(await admin.get(CONNECTIONS_PATH, limitMs, cut), drain.ownPorts);
      for (const line of odd) log.warn("Cannot parse a statistic of Envoy", { line });
      failures = 0;
      if (active <= 0) {
        log.info(active < 0 ? "Envoy does not count connections" : "All connections are closed");
        return;
      }
      log.info("Connections are still open", { active });
    } catch (error) {
      if (cut.aborted) return;
      failures++;
      log.warn("Cannot count connections", { attempt: failures, of: POLL_FAILURES, error: describeError(error) });
      if (failures >= POLL_FAILURES) return;
    }
  }
}
