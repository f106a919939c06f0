import { execFileSync } from "node:child_process";
import { buildSync } from "esbuild";
import { expect, test } from "vitest";

// Survivors make a young generation grow. In a process of its own, because V8's flags are for the whole process.
const GROWING_HEAP = `(async () => {
  if (process.argv.includes("keep")) await ours.keepYoungGenerationSmall();
  let kept = [];
  for (let count = 0; count < 1_000_000; count++) {
    kept.push({ count, list: [count] });
    if (kept.length > 20_000) kept = [];
  }
  const young = require("node:v8").getHeapSpaceStatistics().find((space) => space.space_name === "new_space");
  console.log(young.space_size / 2 ** 20);
})()`;

test("the young generation does not grow from the call on, and would without it", () => {
  const { outputFiles } = buildSync({
    entryPoints: ["src/host/young-generation.ts"],
    bundle: true,
    platform: "node",
    format: "iife",
    globalName: "ours",
    write: false,
  });
  const program = `${outputFiles[0]?.text}${GROWING_HEAP}`;
  const megabytes = (...words: string[]): number =>
    Number(execFileSync(process.execPath, ["-e", program, "--", ...words], { encoding: "utf8" }));
  expect(megabytes("keep")).toBeLessThanOrEqual(megabytes() / 4);
});
