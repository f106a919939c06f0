import { type Clock, describeError, type Logger, type StopSignals } from "../base/index.ts";
import type { AdminClient } from "./admin-client.ts";
import type { EnvoyChild } from "./child.ts";
import { CONNECTIONS_PATH, countConnections } from "./connections.ts";

/** The settings of an orderly end. All times in milliseconds. */
export interface DrainOptions {
  /** Sidecars drain what comes in and keep what goes out, until the application is gone. */
  readonly isInboundOnly: boolean;
  /** Wait before the drain begins. */
  readonly delayMs: number;
  /** `terminationDrainDuration`. */
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

export interface StopOptions {
  readonly drain: DrainOptions;
  /** The drain was done before, or is not wanted: Envoy is ended at once. */
  readonly isDrained: boolean;
  readonly admin: AdminClient;
  readonly signals: Pick<StopSignals, "hurry" | "force">;
  readonly log: Logger;
  readonly clock: Clock;
}

const ADMIN_LIMIT_MS = 5_000;
const POLL_MS = 1_000;
const POLL_LIMIT_MS = 2_000;
const POLL_FAILURES = 5;
/** Envoy ends within some 10 ms of SIGTERM when it is well. */
const TERM_LIMIT_MS = 2_000;

/**
 * Drains Envoy and ends it: drain, wait, SIGTERM, SIGKILL, each step bounded and cut short when the child ends.
 * A second signal skips the waits, a third kills. Source of the two waiting rules: istio/istio pkg/envoy/agent.go.
 */
export async function stopEnvoy(child: EnvoyChild, options: StopOptions): Promise<void> {
  const { log, signals } = options;
  const gone = new AbortController();
  void child.ended.then(() => gone.abort(new Error("Envoy has ended")));
  const cut = AbortSignal.any([gone.signal, signals.hurry, signals.force]);
  if (!options.isDrained && !cut.aborted) await drainAndWait(cut, options);
  if (gone.signal.aborted) {
    log.info("Envoy has exited during the drain");
    return;
  }
  if (!signals.force.aborted) {
    log.info("Ending Envoy", { signal: "SIGTERM", pid: child.pid });
    child.kill("SIGTERM");
    await pause(TERM_LIMIT_MS, AbortSignal.any([gone.signal, signals.force]), options.clock);
  }
  if (!gone.signal.aborted) {
    log.warn("Killing Envoy, it did not end", { signal: "SIGKILL", pid: child.pid });
    child.kill("SIGKILL");
  }
  await child.ended;
}

/** `POST /drain_listeners`; a failure is logged and otherwise of no effect. */
export async function requestDrain(
  options: Pick<StopOptions, "admin" | "log"> & { readonly isInboundOnly: boolean; readonly skipExit: boolean },
  cut?: AbortSignal,
): Promise<void> {
  const query = [
    options.isInboundOnly ? "inboundonly" : undefined,
    "graceful",
    options.skipExit ? "skip_exit" : undefined,
  ];
  const path = `/drain_listeners?${query.filter((word) => word !== undefined).join("&")}`;
  try {
    const body = await options.admin.post(path, ADMIN_LIMIT_MS, cut);
    options.log.debug("Drain requested", { path, body });
  } catch (error) {
    options.log.warn("Cannot request the drain, going on", { path, error: describeError(error) });
  }
}

async function drainAndWait(cut: AbortSignal, options: StopOptions): Promise<void> {
  const { drain, log, clock } = options;
  log.info(`Stopping: ${describePlan(drain)}`);
  const deadline = drain.deadlineMs > 0 ? clock.now() + drain.deadlineMs : Number.POSITIVE_INFINITY;
  const left = (ms: number): number => Math.min(ms, deadline - clock.now());
  await pause(left(drain.delayMs), cut, clock);
  if (cut.aborted) return;
  await requestDrain({ ...options, isInboundOnly: drain.isInboundOnly, skipExit: false }, cut);
  if (!drain.isExitOnZeroConnections) {
    await pause(left(drain.terminationMs), cut, clock);
    return;
  }
  await pause(left(drain.minimumMs), cut, clock);
  const until = drain.terminationMs > 0 ? clock.now() + drain.terminationMs : Number.POSITIVE_INFINITY;
  await waitForZero(Math.min(until, deadline), cut, options);
}

/** One line that says what will happen, with the times. */
export function describePlan(drain: DrainOptions): string {
  const steps = [
    ...(drain.delayMs > 0 ? [`wait ${drain.delayMs} ms`] : []),
    drain.isInboundOnly ? "drain inbound listeners" : "drain listeners",
    drain.isExitOnZeroConnections
      ? `wait ${drain.minimumMs} ms, then until no connection is open${drain.terminationMs > 0 ? `, at most ${drain.terminationMs} ms` : ""}`
      : `wait ${drain.terminationMs} ms`,
    "end Envoy",
  ];
  return steps.join(", ") + (drain.deadlineMs > 0 ? `; all within ${drain.deadlineMs} ms` : "");
}

async function waitForZero(until: number, cut: AbortSignal, options: StopOptions): Promise<void> {
  const { admin, clock, drain, log } = options;
  let failures = 0;
  while (!cut.aborted && clock.now() < until) {
    await pause(Math.min(POLL_MS, until - clock.now()), cut, clock);
    if (cut.aborted) return;
    try {
      const { active, odd } = countConnections(await admin.get(CONNECTIONS_PATH, POLL_LIMIT_MS, cut), drain.ownPorts);
      for (const line of odd) log.warn("Cannot understand a statistic of Envoy", { line });
      failures = 0;
      if (active <= 0) {
        log.info(active < 0 ? "Envoy counts no connections" : "No connection is open any more");
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
  if (!cut.aborted) log.warn("Connections are still open at the end of the drain");
}

/** A wait that may be cut short; it does not say by what. */
async function pause(ms: number, cut: AbortSignal, clock: Clock): Promise<void> {
  if (ms <= 0) return;
  await clock.sleep(ms, cut).catch(() => undefined); // being cut short is the point
}
