// Runs pilot-agent and pilotboat with the same inputs and writes docs/parity.md: `npm run parity`. It is bundled first,
// because Node 20 runs no TypeScript.
import { spawnSync } from "node:child_process";
import { build } from "esbuild";

const outfile = "dist/parity/main.js";
await build({
  entryPoints: ["test/parity/main.ts"],
  outfile,
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  packages: "external",
  loader: { ".yaml": "text" },
});
const { status } = spawnSync(process.execPath, [outfile, ...process.argv.slice(2)], { stdio: "inherit" });
process.exit(status ?? 1);
