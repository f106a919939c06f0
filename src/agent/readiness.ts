import { AgentError, describeError, type Logger, type Metrics, poll } from "../base/index.ts";
import type { AgentConfig } from "../config/index.ts";
import { isUnreachable } from "../grpc/index.ts";
import type { NodeDescription } from "../node/index.ts";
import { adminAccess, envoyReadiness, grpcBootstrapReadiness, type ReadinessCheck } from "../status/index.ts";
import { inRunFolder } from "./run-folder/index.ts";
import { hasOwnDocument } from "./start-envoy/index.ts";

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
  const adminGet = adminAccess(node.family.localhost, config.proxy.proxyAdminPort);
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

/** When the log says for the first time what is still awaited, and how often after that. */
const READY_TELL_MS = 10_000;
const READY_TELL_AGAIN_MS = 60_000;

/** Asks until all is ready. Rejects with STOPPED when the agent ends first. */
export async function waitUntilReady(
  checks: readonly ReadinessCheck[],
  ended: Promise<unknown>,
  log: Logger,
): Promise<void> {
  const over = new AbortController();
  void ended.then(() => over.abort());
  const startedMs = performance.now();
  let tellAtMs = startedMs + READY_TELL_MS;
  const look = async (): Promise<boolean> => {
    const reason = await firstReason(checks);
    if (reason === undefined) return true;
    const isAway = reason.includes("control plane") && isUnreachable(reason);
    const isToldAlready = isAway && performance.now() < startedMs + READY_TELL_AGAIN_MS; // by the relay
    if (performance.now() > tellAtMs && !isToldAlready) {
      log.warn("Not ready yet", { reason });
      tellAtMs = performance.now() + READY_TELL_AGAIN_MS;
    }
    return false;
  };
  const isReady = await poll(look, { stop: over.signal });
  if (!isReady) throw new AgentError("STOPPED", "The agent ended before it was ready");
}
