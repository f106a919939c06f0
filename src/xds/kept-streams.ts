import type { Clock, Logger, Metrics } from "../base/index.ts";
import { type KeptStreamOptions, openKeptStream, type UpstreamStream } from "./kept-stream.ts";
import type { LastGood } from "./last-good.ts";
import { type Stale, Staleness } from "./staleness.ts";

export interface KeptStreamsOptions {
  readonly lastGood: LastGood;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock: Clock;
}

/** The streams of one relay whose configuration is remembered. */
export interface KeptStreams {
  /** Opens a stream as `openKeptStream` does. */
  open(options: Omit<KeptStreamOptions, "lastGood" | "staleness" | "clock">): Promise<UpstreamStream>;
  /** Undefined while Envoy has what the control plane wants. */
  stale(): Stale | undefined;
  /** The next Envoy is started: streams that are opened from now on are its. Returns the way back. */
  turnToNext(): () => void;
}

export function createKeptStreams({ lastGood, log, metrics, clock }: KeptStreamsOptions): KeptStreams {
  const staleness = new Staleness({ log, metrics, clock });
  return {
    async open(options) {
      staleness.opened(options.id);
      return openKeptStream({ ...options, lastGood, staleness, clock });
    },
    stale: () => staleness.state,
    turnToNext: () => staleness.turnToNext(),
  };
}
