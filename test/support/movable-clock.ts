import type { Clock } from "../../src/base/index.ts";

interface Sleeper {
  readonly untilMs: number;
  wake(): void;
}

/** A clock that only moves when told to. */
export interface MovableClock extends Clock {
  /**
   * Moves time on as it would pass: sleepers wake one after the other, each at its own moment, and time stands still
   * while fewer than `leastSleepers` sleep, because somebody is at work then.
   */
  advance(ms: number): Promise<void>;
  /** Sets the wall clock as an operator or a wake-up from suspension does: timers do not notice. */
  jump(ms: number): void;
  readonly sleeping: number;
}

const LONGEST_WORK_MS = 5_000;

export function createMovableClock(startMs = Date.now(), leastSleepers = 0): MovableClock {
  let timerMs = 0; // what timers run on
  let offsetMs = startMs; // wall clock minus timer clock
  const sleepers = new Set<Sleeper>();
  const settle = async (): Promise<void> => {
    const giveUpAt = Date.now() + LONGEST_WORK_MS;
    for (let turn = 0; turn < 5 || (sleepers.size < leastSleepers && Date.now() < giveUpAt); turn++) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return {
    now: () => timerMs + offsetMs,
    async sleep(ms, signal) {
      signal?.throwIfAborted();
      await new Promise<void>((resolve, reject) => {
        const abort = (): void => {
          sleepers.delete(sleeper);
          reject(signal?.reason);
        };
        const sleeper: Sleeper = {
          untilMs: timerMs + ms,
          wake() {
            signal?.removeEventListener("abort", abort);
            sleepers.delete(sleeper);
            resolve();
          },
        };
        sleepers.add(sleeper);
        signal?.addEventListener("abort", abort, { once: true });
      });
    },
    async advance(ms) {
      const untilMs = timerMs + ms;
      await settle();
      for (let next = soonest(sleepers, untilMs); next !== undefined; next = soonest(sleepers, untilMs)) {
        timerMs = Math.max(timerMs, next.untilMs);
        next.wake();
        await settle();
      }
      timerMs = untilMs;
    },
    jump(ms) {
      offsetMs += ms;
    },
    get sleeping() {
      return sleepers.size;
    },
  };
}

function soonest(sleepers: ReadonlySet<Sleeper>, untilMs: number): Sleeper | undefined {
  const due = [...sleepers].filter((sleeper) => sleeper.untilMs <= untilMs);
  return due.sort((a, b) => a.untilMs - b.untilMs)[0];
}
