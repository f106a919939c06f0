// Prints the import graph as text: `npm run structure`, or `npm run structure -- files`. Bundled first, because Node 20 runs no TypeScript.
import { spawnSync } from "node:child_process";
import { build } from "esbuild";

const outfile = "dist/bench/structure.js";
await build({
  entryPoints: ["test/structure/print.ts"],
  outfile,
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  packages: "external",
});
const { status } = spawnSync(process.execPath, [outfile, ...process.argv.slice(2)], { stdio: "inherit" });
process.exit(status ?? 1);
