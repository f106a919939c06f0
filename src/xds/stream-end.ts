import type { Logger, Metrics } from "../base/index.ts";
import { Code, plainReason, type StreamStatus, statusOf } from "../grpc/index.ts";
import { whenCut } from "./live-streams.ts";
import { ENVOY_TERMINATIONS, ISTIOD_FAILURES, ISTIOD_TERMINATIONS } from "./metrics.ts";
import { classifyEnd } from "./status.ts";
import type { UpstreamOptions } from "./types.ts";
import type { UpstreamWatch } from "./upstream-watch.ts";

/** Which side ended a stream, and how. */
export type StreamEnd =
  | { readonly by: "upstream"; readonly status: StreamStatus; readonly explanation?: string | undefined }
  | { readonly by: "peer"; readonly status: StreamStatus }
  | { readonly by: "agent"; readonly status: StreamStatus };

/** Resolves when the agent ends the stream. */
export async function cutOff(cut: AbortSignal): Promise<StreamEnd> {
  return { by: "agent", status: await whenCut(cut) };
}

/** Resolves when the peer has said its last word, which `read` tells, or leaves before. */
export async function peerGone(read: Promise<void>, broken: Promise<void>): Promise<StreamEnd> {
  const left: StreamEnd = { by: "peer", status: { code: Code.CANCELLED, details: "the peer closed the stream" } };
  return Promise.race([read.then(() => PEER_DONE, endByPeer), broken.then(() => left)]);
}

const PEER_DONE: StreamEnd = { by: "peer", status: { code: Code.OK, details: "" } };

function endByPeer(error: unknown): StreamEnd {
  const { code, details } = statusOf(error);
  return { by: "peer", status: { code, details } };
}

/** The end by the control plane, with what the credentials know of a failure. */
export async function endByUpstream(
  status: StreamStatus,
  { credentials }: Pick<UpstreamOptions, "credentials">,
): Promise<StreamEnd> {
  if (classifyEnd(status) !== "unexpected") return { by: "upstream", status };
  const failure = { code: status.code, reason: plainReason(status.details) };
  return { by: "upstream", status, explanation: await credentials.explain?.(failure) };
}

export interface EndedStream {
  readonly id: number;
  readonly wasConnected: boolean;
  /** Whether it was the stream that counts for the agent. */
  readonly speaksForAgent: boolean;
  readonly watch: UpstreamWatch;
  readonly metrics: Metrics;
  readonly log: Logger;
}

/** Counts the end of a stream, and tells it to its watch. */
export function accountForEnd(end: StreamEnd, stream: EndedStream): void {
  const { by, status } = end;
  const { id, watch, metrics, log } = stream;
  const isFailure = classifyEnd(status) === "unexpected";
  const type = isFailure ? "error" : "cancelled";
  if (by === "peer" && stream.speaksForAgent) metrics.count(ENVOY_TERMINATIONS, { type });
  if (by === "upstream") metrics.count(ISTIOD_TERMINATIONS, { type });
  if (by === "upstream" && !stream.wasConnected) metrics.count(ISTIOD_FAILURES);
  if (by === "upstream" && isFailure) {
    watch.failed(id, status, end.explanation);
    return;
  }
  log.debug(`stream ended by ${by}`, { id, ...status });
  watch.ended(id);
}
