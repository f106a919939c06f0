// Bundles a TypeScript file of ours and runs it, because Node 20 runs no TypeScript.
import { spawnSync } from "node:child_process";
import { basename } from "node:path";
import { build } from "esbuild";

/**
 * Bundles `entry` into `outdir`, split as the product is (some modules must load after others), and runs it with these
 * words. Returns its exit code; 1 when a signal ended it.
 */
export async function runBundled(entry, outdir, { args, nodeArgs = [] }) {
  await build({
    entryPoints: [entry],
    outdir,
    splitting: true,
    bundle: true,
    format: "esm",
    outExtension: { ".js": ".mjs" },
    platform: "node",
    target: "node20",
    packages: "external",
    loader: { ".yaml": "text" },
  });
  const file = `${outdir}/${basename(entry, ".ts")}.mjs`;
  const { status } = spawnSync(process.execPath, [...nodeArgs, file, ...args], { stdio: "inherit" });
  return status ?? 1;
}
