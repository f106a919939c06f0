import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { performanceFiles } from "../../bench/performance/page.ts";
import { plotSvg } from "../../bench/performance/plot.ts";
import { readResults } from "../../bench/performance/read-results.ts";
import { slopeOf } from "../../bench/support/regression.ts";

// After a run of the benchmarks: npm run docs:performance
test("docs/performance.md and its plots are what the script makes of the committed results", () => {
  const files = performanceFiles(readResults());
  expect(Object.keys(files)).toEqual(["performance.md", "performance/soak.svg"]);
  for (const [name, text] of Object.entries(files)) expect(readFileSync(`docs/${name}`, "utf8")).toBe(text);
});

test("the slope of a line has no error, that of noise has one that covers it", () => {
  const xs = Array.from({ length: 100 }, (_, at) => at);
  const line = slopeOf(xs.map((x) => [x, 3 * x + 1]));
  expect(line.slope).toBeCloseTo(3, 9);
  expect(line.error).toBeCloseTo(0, 9);
  const noise = slopeOf(xs.map((x) => [x, 50 + Math.sin(x * 12.9898) * 5]));
  expect(Math.abs(noise.slope)).toBeLessThan(3 * noise.error);
});

test("a plot has a line for each series, within its frame", () => {
  const points = [
    [0, 1],
    [10, 7],
  ] as const;
  const svg = plotSvg([{ title: "a", lines: [{ name: "b", points }] }], "minutes");
  const [, from, to] = /<path d="M([\d.]+ [\d.]+)L([\d.]+ [\d.]+)" stroke=/.exec(svg) ?? [];
  expect([from, to]).toEqual(["60.0 184.3", "804.0 71.8"]);
  expect(svg).toContain("prefers-color-scheme: dark");
});
