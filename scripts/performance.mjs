// Writes docs/performance.md from the JSON of the last benchmarks: `npm run docs:performance`.
import { runBundled } from "./run-bundled.mjs";

process.exit(await runBundled("bench/performance/write.ts", "dist/bench/performance", { args: [] }));
