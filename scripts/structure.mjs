// Prints the import graph as text: `npm run structure`, or `npm run structure -- files`.
import { runBundled } from "./run-bundled.mjs";

process.exit(await runBundled("test/structure/print.ts", "dist/structure", { args: process.argv.slice(2) }));
