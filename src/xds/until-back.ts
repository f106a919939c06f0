import { type Backoff, backoffMs, type Clock, pause } from "../base/index.ts";
import { isStatus, type StreamStatus } from "../grpc/index.ts";
import type { ClientStream, MessageHandler } from "../grpc-stream/index.ts";
import { isAway } from "./is-away.ts";

export interface UntilBackOptions {
  /** Opens a stream to the control plane. Rejects with a StatusError when credentials cannot be had. */
  readonly open: (handler: MessageHandler) => Promise<Omit<ClientStream, "end">>;
  /** Called for each attempt that failed. */
  readonly onFailure: (status: StreamStatus) => Promise<void>;
  readonly clock: Clock;
  /** Nobody waits any more. */
  readonly over: AbortSignal;
}

/** A control plane is back when a stream to it stays open for so long: a proxy in front of it ends one at once. */
const STEADY_MS = 1_000;
const BACKOFF: Backoff = { initialMs: 1_000, factor: 1.6, maxMs: 15_000, jitter: 0.2 };

/** Resolves when a stream to the control plane stays open, or is refused, which is an answer, too; or when it is over. */
export async function untilBack({ open, onFailure, clock, over }: UntilBackOptions): Promise<void> {
  for (let attempt = 2; !over.aborted; attempt++) {
    await pause(backoffMs(BACKOFF, attempt), over, clock);
    if (over.aborted) return;
    const call = await open({ message: () => undefined }).catch((error: unknown) => {
      if (isStatus(error)) return error;
      throw error;
    });
    const status = "connected" in call ? await endOf(call, over, clock) : call;
    if (status === undefined || !isAway(status)) return;
    if (!over.aborted) await onFailure(status);
  }
}

/** How the stream ended; undefined where it stays open, and then it is closed. */
async function endOf(
  call: Omit<ClientStream, "end">,
  over: AbortSignal,
  clock: Clock,
): Promise<StreamStatus | undefined> {
  if (!(await call.connected)) return call.status;
  const status = await Promise.race([call.status, pause(STEADY_MS, over, clock).then(() => undefined)]);
  if (status === undefined) call.close();
  return status;
}
