import { expect, test } from "vitest";
import type { Metric } from "../../src/base/metrics.ts";
import { readSources } from "./source-graph.ts";

const DECLARES = /\b(?:counter|gauge|histogram)\(\s*"/;

function isMetric(value: unknown): value is Metric {
  return typeof value === "object" && value !== null && "help" in value && "type" in value && "name" in value;
}

/** Every metric that a room declares, from all files that do. */
const declaring = [...readSources()].filter(([file, text]) => file !== "src/base/metrics.ts" && DECLARES.test(text));
const declared: Metric[] = [];
for (const [file] of declaring) {
  const found = Object.values((await import(/* @vite-ignore */ `../../${file}`)) as Record<string, unknown>);
  declared.push(...found.filter(isMetric));
}

test("every metric that the code counts has a help text, and is declared once", () => {
  const names = declared.map(({ name }) => name);
  expect(names).toContain("num_outgoing_requests");
  expect(declared.filter(({ help }) => help === "")).toEqual([]);
  expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
});

test("a metric is declared where others of its room see it, not inside a function", () => {
  const written = declaring.flatMap(([, text]) => [...text.matchAll(new RegExp(DECLARES, "g"))]);
  expect(written).toHaveLength(declared.length);
});
