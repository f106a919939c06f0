import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { startLimit } from "../../src/base/index.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("a limit beyond what a timer takes is not over at once", () => {
  using limit = startLimit(undefined, 2 ** 40, () => new Error("late"));
  vi.advanceTimersByTime(86_400_000);
  expect(limit.signal.aborted).toBe(false);
});

test("after its time the signal has the reason", () => {
  using limit = startLimit(undefined, 1_000, () => new Error("late"));
  vi.advanceTimersByTime(1_000);
  expect(limit.signal.reason).toEqual(new Error("late"));
});
