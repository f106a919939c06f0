import { type Clock, pause, systemClock } from "./clock.ts";

/** How often is asked: every `firstMs` for `hurryMs`, then each wait is `factor` times longer, up to `mostMs`. */
export interface PollPace {
  readonly firstMs: number;
  readonly hurryMs: number;
  readonly factor: number;
  readonly mostMs: number;
}

/**
 * For what boots: every growth of the wait in the first second would be a part of the start. A healthy program is ready
 * within it; one that waits for another program may do so for hours.
 */
const BOOT_PACE: PollPace = { firstMs: 10, hurryMs: 1_000, factor: 1.2, mostMs: 1_000 };

/** Each look costs the boot some 2 ms of processor time, so there are few that cannot succeed. */
const IDLE_MS = 100;

export interface PollOptions {
  /** Ends the polling; a look that is under way is for `look` to end. */
  readonly stop: AbortSignal;
  /** Default: that of a boot. */
  readonly pace?: PollPace;
  /** Aborts when what is awaited may come at any moment; until then looks are rare. Default: at once. */
  readonly soon?: AbortSignal | undefined;
  readonly clock?: Clock;
}

/**
 * Looks again and again. Resolves with true as soon as `look` does, with false once `stop` aborts. Rejects as `look`
 * does: what is only "not yet" is for `look` to tell.
 */
export async function poll(look: () => Promise<boolean>, options: PollOptions): Promise<boolean> {
  const { stop, pace = BOOT_PACE, soon, clock = systemClock } = options;
  const idleUntilMs = clock.now() + pace.hurryMs;
  const cut = soon === undefined ? stop : AbortSignal.any([stop, soon]); // once: it leaves traces at both
  for (let waitMs = IDLE_MS; soon?.aborted === false && !stop.aborted; ) {
    if (await look()) return true;
    await pause(waitMs, cut, clock);
    if (clock.now() > idleUntilMs) waitMs = Math.min(waitMs * pace.factor, pace.mostMs);
  }
  const hurryUntilMs = clock.now() + pace.hurryMs;
  for (let waitMs = pace.firstMs; !stop.aborted; ) {
    if (await look()) return true;
    await pause(waitMs, stop, clock);
    if (clock.now() > hurryUntilMs) waitMs = Math.min(waitMs * pace.factor, pace.mostMs);
  }
  return false;
}
