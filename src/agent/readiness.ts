import { AgentError, type Logger, poll } from "../base/index.ts";
import { isUnreachable } from "../grpc/index.ts";
import type { ReadinessBoard } from "../status/index.ts";

/** When the log says for the first time what is still awaited, and how often after that. */
const READY_TELL_MS = 10_000;
const READY_TELL_AGAIN_MS = 60_000;

export interface ReadyOptions {
  readonly ended: Promise<unknown>;
  /** Aborts when it may be ready at any moment; undefined: from the start. */
  readonly soon: AbortSignal | undefined;
  readonly log: Logger;
}

/** Asks until all is ready. Rejects with STOPPED when the agent ends first. */
export async function waitUntilReady(board: ReadinessBoard, { ended, soon, log }: ReadyOptions): Promise<void> {
  const over = new AbortController();
  void ended.then(() => over.abort());
  const startedMs = performance.now();
  let tellAtMs = startedMs + READY_TELL_MS;
  const look = async (): Promise<boolean> => {
    const readiness = await board.look();
    if (readiness.isReady) return true;
    const { reason } = readiness;
    const isAway = reason.includes("control plane") && isUnreachable(reason);
    const isToldAlready = isAway && performance.now() < startedMs + READY_TELL_AGAIN_MS; // by the relay
    if (performance.now() > tellAtMs && !isToldAlready) {
      log.warn("Not ready yet", { reason });
      tellAtMs = performance.now() + READY_TELL_AGAIN_MS;
    }
    return false;
  };
  const isReady = await poll(look, { stop: over.signal, soon });
  if (!isReady) throw new AgentError("STOPPED", "The agent exited before it was ready");
}
