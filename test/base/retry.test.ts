import { expect, test } from "vitest";
import { type Backoff, backoffMs, type Clock, Retries, retry } from "../../src/base/index.ts";

const BACKOFF: Backoff = { initialMs: 100, factor: 2, maxMs: 500, jitter: 0.1 };

function recordingClock(): Clock & { readonly slept: number[] } {
  const slept: number[] = [];
  return { slept, now: () => 0, sleep: async (ms) => void slept.push(ms) };
}

test("waits grow by the factor up to the cap, within the jitter", () => {
  expect([2, 3, 4, 5, 6].map((attempt) => backoffMs(BACKOFF, attempt, () => 0.5))).toEqual([100, 200, 400, 500, 500]);
  expect(backoffMs(BACKOFF, 2, () => 0)).toBeCloseTo(90);
  expect(backoffMs(BACKOFF, 2, () => 1)).toBeCloseTo(110);
});

test("it stops at the first success", async () => {
  const clock = recordingClock();
  const work = async (attempt: number) => {
    if (attempt < 3) throw new Error("not yet");
    return attempt;
  };
  const signal = new AbortController().signal;
  expect(await retry(work, { backoff: BACKOFF, clock, random: () => 0.5, signal })).toBe(3);
  expect(clock.slept).toEqual([100, 200]);
});

test("it gives up after the attempts, with the last error", async () => {
  const clock = recordingClock();
  const signal = new AbortController().signal;
  const work = async (attempt: number): Promise<never> => Promise.reject(new Error(`attempt ${attempt}`));
  await expect(retry(work, { backoff: BACKOFF, clock, attempts: 3, signal })).rejects.toThrow("attempt 3");
});

test("a final error is not retried", async () => {
  const signal = new AbortController().signal;
  const work = async (): Promise<never> => Promise.reject(new Error("final"));
  const clock = recordingClock();
  await expect(retry(work, { backoff: BACKOFF, clock, signal, isRetryable: () => false })).rejects.toThrow("final");
  expect(clock.slept).toEqual([]);
});

test("an abort ends the wait with the abort's reason", async () => {
  const controller = new AbortController();
  const work = async (): Promise<never> => {
    controller.abort(new Error("stop asked"));
    throw new Error("failed");
  };
  await expect(retry(work, { backoff: BACKOFF, signal: controller.signal })).rejects.toThrow("stop asked");
});

test("after progress the attempts and the waits begin again, and the other side may ask for its own wait", async () => {
  const clock = recordingClock();
  const signal = new AbortController().signal;
  const askedWaitMs = (error: unknown) => ((error as Error).message === "busy" ? 7 : undefined);
  const retries = new Retries({ backoff: BACKOFF, attempts: 3, clock, random: () => 0.5, signal, askedWaitMs });
  await retries.afterFailure(new Error("cut"));
  await retries.afterFailure(new Error("cut"));
  retries.progress();
  await retries.afterFailure(new Error("cut"));
  await retries.afterFailure(new Error("busy"));
  await expect(retries.afterFailure(new Error("the last one"))).rejects.toThrow("the last one");
  expect(clock.slept).toEqual([100, 200, 100, 7]);
});
