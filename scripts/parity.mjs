// Runs pilot-agent and pilotboat with the same inputs and writes docs/parity.md: `npm run parity`.
import { runBundled } from "./run-bundled.mjs";

process.exit(await runBundled("test/parity/main.ts", "dist/parity", { args: process.argv.slice(2) }));
