import { copyFileSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { performanceFiles, SHOWN } from "./page.ts";
import { readResults } from "./read-results.ts";

// Takes what the benchmarks wrote last into docs/performance/, and writes the page from all that is there.

mkdirSync("docs/performance", { recursive: true });
for (const name of SHOWN) {
  const fresh = `bench/results/${name}.json`;
  if (existsSync(fresh)) copyFileSync(fresh, `docs/performance/${name}.json`);
}
for (const [name, text] of Object.entries(performanceFiles(readResults()))) writeFileSync(`docs/${name}`, text);
console.log("docs/performance.md is written.");
