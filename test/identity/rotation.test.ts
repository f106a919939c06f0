import { expect, test } from "vitest";
import { clockSkewMs, rotationFloorMs, rotationRetryCapMs, rotationTime } from "../../src/identity/secrets/rotation.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

test.each([
  ["a lifetime of one second that is over", -2_000, -1_000, 0.5, -1_500],
  ["half of an hour left", 0, HOUR, 0.5, 30 * MINUTE],
  ["a quarter left", 0, HOUR, 0.25, 45 * MINUTE],
  ["three quarters left", 0, HOUR, 0.75, 15 * MINUTE],
  ["all of it left", 0, HOUR, 1, 0],
  ["nothing left", 0, HOUR, 0, HOUR],
  ["a certificate of the future", 30 * MINUTE, 90 * MINUTE, 0.25, 75 * MINUTE],
  ["a hundred days", 0, 100 * DAY, 0.5, 50 * DAY],
])("rotation with %s", (_case, createdAtMs, notAfterMs, ratio, expected) => {
  expect(rotationTime({ createdAtMs, notAfterMs, ratio, jitter: 0 }, Math.random)).toBe(expected);
});

test.each([
  [1, 0, 30 * MINUTE],
  [0.5, 0, HOUR],
  [0, 30 * MINUTE, HOUR],
])("jitter of a half around %d stays within its bounds", (ratio, least, most) => {
  const times = Array.from({ length: 200 }, () =>
    rotationTime({ createdAtMs: 0, notAfterMs: HOUR, ratio, jitter: 0.5 }, Math.random),
  );
  expect(Math.min(...times)).toBeGreaterThanOrEqual(least);
  expect(Math.max(...times)).toBeLessThanOrEqual(most);
  expect(new Set(times).size).toBeGreaterThan(10);
});

test("a clock that is behind the CA's does not delay rotation beyond the certificate's own life", () => {
  const plan = { createdAtMs: 0, notBeforeMs: HOUR, notAfterMs: 25 * HOUR, ratio: 0.5, jitter: 0 };
  expect(clockSkewMs(plan)).toBe(-HOUR);
  expect(rotationTime(plan, Math.random)).toBe(12 * HOUR);
});

test("a certificate that began long ago is still replaced before it ends", () => {
  const plan = { createdAtMs: 20 * HOUR, notBeforeMs: 0, notAfterMs: 24 * HOUR, ratio: 0.5, jitter: 0 };
  expect(rotationTime(plan, Math.random)).toBe(22 * HOUR);
});

test("the backdating of istiod is no skew", () => {
  expect(clockSkewMs({ createdAtMs: 2 * MINUTE, notBeforeMs: 0 })).toBe(0);
});

test("requests keep half a minute apart, less for short lives", () => {
  expect(rotationFloorMs({ createdAtMs: 0, notAfterMs: DAY })).toBe(30_000);
  expect(rotationFloorMs({ createdAtMs: 0, notAfterMs: MINUTE })).toBe(6_000);
  expect(rotationRetryCapMs({ createdAtMs: 0, notAfterMs: DAY })).toBe(MINUTE);
  expect(rotationRetryCapMs({ createdAtMs: 0, notAfterMs: MINUTE })).toBe(3_000);
});
