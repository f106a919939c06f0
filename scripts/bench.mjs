// Runs benchmarks: `npm run bench -- start sds`.
import { existsSync, readdirSync } from "node:fs";
import { runBundled } from "./run-bundled.mjs";

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
  const status = await runBundled(`bench/${name}.ts`, `dist/bench/${name}`, { args: flags, nodeArgs: ["--expose-gc"] });
  if (status !== 0) process.exit(status);
}
