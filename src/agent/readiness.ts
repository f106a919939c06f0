import { AgentError, describeError, type Logger, type Metrics, pause } from "../base/index.ts";
import type { AgentConfig } from "../config/index.ts";
import { isUnreachable } from "../grpc/index.ts";
import type { NodeDescription } from "../node/index.ts";
import { adminAccess, envoyReadiness, grpcBootstrapReadiness, type ReadinessCheck } from "../status/index.ts";
import { hasOwnDocument, inRunFolder, localhostOf } from "./room-options.ts";

/** What must be so before `/healthz/ready` says 200, in the order of asking. */
export function readinessChecks(parts: {
  readonly config: AgentConfig;
  readonly node: NodeDescription;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly because: () => string | undefined;
  readonly refusal: () => string | undefined;
}): readonly ReadinessCheck[] {
  const { config, node, metrics, log, because, refusal } = parts;
  const adminGet = adminAccess(localhostOf(node), config.proxy.proxyAdminPort);
  const mayBeStatic = !hasOwnDocument(config);
  const startedMs = performance.timeOrigin;
  const envoy = envoyReadiness({ adminGet, because, refusal, mayBeStatic, metrics, log, startedMs });
  const { grpcBootstrapPath, isEnvoyDisabled } = config.settings;
  return [
    ...(isEnvoyDisabled ? [] : [envoy]),
    ...(grpcBootstrapPath === "" ? [] : [grpcBootstrapReadiness(inRunFolder(config, grpcBootstrapPath), config.cwd)]),
  ];
}

/** Why the proxy is not ready now; undefined when it is. Unlike the board of the status port it logs nothing. */
export async function firstReason(checks: readonly ReadinessCheck[]): Promise<string | undefined> {
  for (const check of checks) {
    try {
      const reason = await check.check();
      if (reason !== undefined) return reason;
    } catch (error) {
      return describeError(error); // not being able to ask is a reason, too
    }
  }
  return undefined;
}

const READY_POLL_MS = 10;
/** An Envoy whose control plane is well is ready within this; later there is no hurry any more. */
const READY_EARLY_MS = 1_000;
const READY_POLL_MOST_MS = 1_000;
/** When the log says for the first time what is still awaited, and how often after that. */
const READY_TELL_MS = 10_000;
const READY_TELL_AGAIN_MS = 60_000;

/** Asks until all is ready, at first often: every growth of the wait would be a part of the start. */
export async function waitUntilReady(
  checks: readonly ReadinessCheck[],
  stop: AbortSignal,
  ended: Promise<unknown>,
  log: Logger,
): Promise<void> {
  let isOver = false;
  void ended.then(() => {
    isOver = true;
  });
  const earlyUntilMs = performance.now() + READY_EARLY_MS;
  const startedMs = performance.now();
  let tellAtMs = startedMs + READY_TELL_MS;
  for (let waitMs = READY_POLL_MS; !isOver; ) {
    const reason = await firstReason(checks);
    if (reason === undefined) return;
    const isAway = reason.includes("control plane") && isUnreachable(reason);
    const isToldAlready = isAway && performance.now() < startedMs + READY_TELL_AGAIN_MS; // by the relay
    if (performance.now() > tellAtMs && !isToldAlready) {
      log.warn("Not ready yet", { reason });
      tellAtMs = performance.now() + READY_TELL_AGAIN_MS;
    }
    await pause(waitMs, stop);
    if (performance.now() > earlyUntilMs) waitMs = Math.min(waitMs * 1.2, READY_POLL_MOST_MS);
  }
  throw new AgentError("STOPPED", "The agent ended before it was ready");
}
