import type { Clock } from "../../src/base/index.ts";

interface Sleeper {
  readonly untilMs: number;
  wake(): void;
}

/** A clock that only moves when told to. */
export interface MovableClock extends Clock {
  /** Moves time on as it would pass: sleepers wake one after the other, each at its own moment. */
  advance(ms: number): Promise<void>;
  /** Sets the wall clock as an operator or a wake-up from suspension does: timers do not notice. */
  jump(ms: number): void;
  readonly sleeping: number;
}

export function createMovableClock(startMs = Date.now()): MovableClock {
  let timerMs = 0; // what timers run on
  let offsetMs = startMs; // wall clock minus timer clock
  const sleepers = new Set<Sleeper>();
  return {
    now: () => timerMs + offsetMs,
    sleep(ms, signal) {
      signal?.throwIfAborted();
      return new Promise((resolve, reject) => {
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

/** Lets promises and immediate callbacks run, so that whoever woke can go to sleep again. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}
