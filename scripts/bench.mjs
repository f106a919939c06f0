// Runs benchmarks: `npm run bench -- start sds`. Each is bundled first, because Node 20 runs no TypeScript.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { build } from "esbuild";

const known = readdirSync("bench")
  .filter((file) => file.endsWith(".ts"))
  .map((file) => file.slice(0, -3));
const wanted = process.argv.slice(2).filter((word) => !word.startsWith("-"));
const flags = process.argv.slice(2).filter((word) => word.startsWith("-"));
const unknown = wanted.filter((name) => !existsSync(`bench/${name}.ts`));
if (wanted.length === 0 || unknown.length > 0) {
  console.error(`Usage: npm run bench -- NAME...   known: ${known.join(", ")}`);
  process.exit(2);
}
for (const name of wanted) {
  const outdir = `dist/bench/${name}`; // split, as the product is: some modules must load after others
  await build({
    entryPoints: [`bench/${name}.ts`],
    outdir,
    splitting: true,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    packages: "external",
    loader: { ".yaml": "text" },
  });
  const { status } = spawnSync(process.execPath, ["--expose-gc", `${outdir}/${name}.js`, ...flags], {
    stdio: "inherit",
  });
  if (status !== 0) process.exit(status ?? 1);
}
