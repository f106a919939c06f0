import type { RunningApplication } from "../application/index.ts";
import { describeError, type Logger, pause, systemClock } from "../base/index.ts";
import { CONNECTIONS_PATH, countConnections } from "../envoy/supervisor/index.ts";
import type { RunSidecar } from "./run-sidecar.ts";
import type { RunSignals } from "./run-signals.ts";

/** From the signal to SIGKILL, without --stop-deadline. */
const END_LIMIT_MS = 30_000;
/** The same from the second signal. */
const HURRY_LIMIT_MS = 2_000;
/** A drain that Envoy's admin does not answer must not keep the signal from the application. */
const DRAIN_LIMIT_MS = 1_000;

export interface StopParts {
  readonly application: RunningApplication;
  readonly signals: RunSignals;
  readonly log: Logger;
}

export interface EndParts extends StopParts {
  readonly sidecar: RunSidecar;
}

/**
 * Ends the application: what comes in drains, it gets the signal that we got (SIGTERM when there was none), and SIGKILL
 * at the deadline. What goes out stays open all the while: its last calls still need Envoy.
 */
export async function endApplication(parts: EndParts): Promise<void> {
  const { application, sidecar, signals } = parts;
  const { delayMs, deadlineMs } = sidecar.limits;
  const untilMs = systemClock.now() + (deadlineMs > 0 ? deadlineMs : END_LIMIT_MS);
  const gone = new AbortController();
  void application.ended.then(() => gone.abort());
  const politely = AbortSignal.any([gone.signal, signals.hurry]);
  await pause(delayMs, politely);
  await beginDrain(sidecar, politely);
  await stopApplication(parts, untilMs);
}

/** Passes the signal that we got on to the application, and kills it at `untilMs`; default: after 30 s. */
export async function stopApplication(
  { application, signals, log }: StopParts,
  untilMs = systemClock.now() + END_LIMIT_MS,
): Promise<void> {
  const { hurry, force, received } = signals;
  const gone = new AbortController();
  void application.ended.then(() => gone.abort());
  const politely = AbortSignal.any([gone.signal, hurry]);
  application.pass(received[0] ?? "SIGTERM");
  await pause(untilMs - systemClock.now(), politely);
  if (hurry.aborted && !gone.signal.aborted) {
    application.pass(received.at(-1) ?? "SIGTERM");
    await pause(Math.min(HURRY_LIMIT_MS, untilMs - systemClock.now()), AbortSignal.any([gone.signal, force]));
  }
  if (!gone.signal.aborted) {
    log.warn("Application did not exit in time; sending SIGKILL", { signal: "SIGKILL", pid: application.pid });
    application.kill();
  }
  await application.ended;
}

/** Asks Envoy to drain, so that its own end waits for nothing more. Resolves when it has answered, or after a second. */
async function beginDrain({ agent, drain }: RunSidecar, cut: AbortSignal): Promise<void> {
  if (agent.envoyPid() === undefined) return;
  const answered = new AbortController();
  const isAnswered = (): void => answered.abort();
  drain().then(isAnswered, isAnswered);
  await pause(DRAIN_LIMIT_MS, AbortSignal.any([cut, answered.signal]));
}

const QUIET_POLL_MS = 20;
const QUIET_POLL_MOST_MS = 500;
const QUIET_ASK_LIMIT_MS = 2_000;

/**
 * After the application is gone: lets Envoy pass on the last bytes. Resolves when no client is connected to it any more,
 * when it cannot say so, after `terminationDrainDuration`, or at the deadline of the end, which began at `sinceMs`.
 */
export async function waitUntilQuiet({ sidecar, signals, log }: Omit<EndParts, "application">, sinceMs: number) {
  const { admin, limits } = sidecar;
  const { hurry } = signals;
  const deadlineMs = limits.deadlineMs > 0 ? sinceMs + limits.deadlineMs : Number.POSITIVE_INFINITY;
  const untilMs = Math.min(deadlineMs, systemClock.now() + limits.terminationMs);
  const leftMs = (): number => untilMs - systemClock.now();
  if (admin === undefined || leftMs() <= 0) return;
  await beginDrain(sidecar, hurry);
  await pause(limits.isExitOnZeroConnections ? Math.min(limits.minimumMs, leftMs()) : leftMs(), hurry);
  for (let waitMs = QUIET_POLL_MS; leftMs() > 0 && !hurry.aborted; ) {
    try {
      const body = await admin.get(CONNECTIONS_PATH, QUIET_ASK_LIMIT_MS, hurry);
      const { active } = countConnections(body, limits.ownPorts);
      if (active <= 0) return;
      log.info("Connections are still open", { active });
    } catch (error) {
      log.debug("Cannot count connections", { error: describeError(error) });
      return; // an Envoy that does not answer has nothing to pass on
    }
    await pause(Math.min(waitMs, leftMs()), hurry);
    waitMs = Math.min(waitMs * 1.5, QUIET_POLL_MOST_MS);
  }
}
