import { AgentError, describeError, type Logger, type Metrics, systemClock } from "../base/index.ts";
import type { AgentConfig } from "../config/index.ts";
import type { NodeDescription } from "../node/index.ts";
import { adminAccess, envoyReadiness, grpcBootstrapReadiness, type ReadinessCheck } from "../status/index.ts";
import { inRunFolder, localhostOf } from "./room-options.ts";

/** What must be so before `/healthz/ready` says 200, in the order of asking. */
export function readinessChecks(parts: {
  readonly config: AgentConfig;
  readonly node: NodeDescription;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly because: () => string | undefined;
}): readonly ReadinessCheck[] {
  const { config, node, metrics, log, because } = parts;
  const adminGet = adminAccess(localhostOf(node), config.proxy.proxyAdminPort);
  const envoy = envoyReadiness({ adminGet, because, metrics, log, startedMs: performance.timeOrigin });
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
const READY_POLL_MOST_MS = 1_000;

/** Asks until all is ready, at first often, because the first moments are when it changes. */
export async function waitUntilReady(
  checks: readonly ReadinessCheck[],
  stop: AbortSignal,
  ended: Promise<unknown>,
): Promise<void> {
  let isOver = false;
  void ended.then(() => {
    isOver = true;
  });
  for (let waitMs = READY_POLL_MS; !isOver; waitMs = Math.min(waitMs * 1.2, READY_POLL_MOST_MS)) {
    if ((await firstReason(checks)) === undefined) return;
    await systemClock.sleep(waitMs, stop).catch(() => undefined);
  }
  throw new AgentError("STOPPED", "The agent ended before it was ready");
}
