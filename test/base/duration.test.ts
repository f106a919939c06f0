import { expect, test } from "vitest";
import { formatGoDuration, formatProtoDuration, parseGoDuration, utcTime } from "../../src/base/index.ts";

test.each([
  ["1h30m", 5_400_000_000_000n],
  ["1.5s", 1_500_000_000n],
  [".5s", 500_000_000n],
  ["-1s", -1_000_000_000n],
  ["+5s", 5_000_000_000n],
  ["0", 0n],
  ["100us", 100_000n],
  ["100µs", 100_000n],
  ["1.s", 1_000_000_000n],
  ["1h1h", 7_200_000_000_000n],
  ["9223372036854775807ns", 9223372036854775807n],
])("%s is read as Go reads it", (text, expected) => {
  expect(parseGoDuration(text)).toBe(expected);
});

test.each(["90", "1d", "5 s", "", "s", ".s", "-", "1s ", "9223372036854775808ns", "1e3s", "0x1s"])(
  "%j is no duration",
  (text) => {
    expect(parseGoDuration(text)).toBeUndefined();
  },
);

test.each([
  ["90s", "1m30s", "90s"],
  ["1m", "1m0s", "60s"],
  ["1h", "1h0m0s", "3600s"],
  ["500ms", "500ms", "0.500s"],
  ["1.5s", "1.5s", "1.500s"],
  ["100us", "100µs", "0.000100s"],
  ["1ns", "1ns", "0.000000001s"],
  ["0", "0s", "0s"],
  ["-1.5s", "-1.5s", "-1.500s"],
  ["1.234567s", "1.234567s", "1.234567s"],
])("%s prints as Go and as protobuf print it", (text, go, proto) => {
  const duration = parseGoDuration(text) ?? -1n;
  expect(formatGoDuration(duration)).toBe(go);
  expect(formatProtoDuration(duration)).toBe(proto);
});

test.each([
  [1_000, "1970-01-01T00:00:01Z"],
  [1e308, "+275760-09-13T00:00:00Z"],
  [Number.NEGATIVE_INFINITY, "-271821-04-20T00:00:00Z"],
  [Number.NaN, "1970-01-01T00:00:00Z"],
])("hostile fuzz: %d ms since the epoch, as others may say them, is shown as %s", (ms, shown) => {
  expect(utcTime(ms)).toBe(shown);
});
