// Compiles one self-contained executable, dist/pilotboat, with Bun.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const BUN = realpathSync("node_modules/.bin/bun");
/** `.env` would set our variables, and `bunfig.toml` runs code: neither is ours, whatever folder we are started in. */
const READS_NOTHING = ["dotenv", "bunfig", "tsconfig", "package-json"].map((file) => `--no-compile-autoload-${file}`);
const FLAGS = [
  "--compile",
  "--bytecode",
  "--format=cjs",
  "--minify",
  "--external",
  "@grpc/proto-loader",
  ...READS_NOTHING,
];

execFileSync(process.execPath, ["scripts/build-descriptors.mjs"], { stdio: "inherit" });
const file = "dist/pilotboat";
const folder = mkdtempSync(join(tmpdir(), "pilotboat-bun-"));
try {
  const runtime = ["--compile-executable-path", deafRuntime(join(folder, "bun"))];
  execFileSync(BUN, ["build", ...FLAGS, ...runtime, "src/main.ts", "--outfile", file], {
    stdio: ["ignore", "ignore", "inherit"],
  });
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(`${file}  ${(statSync(file).size / 1e6).toFixed(0)} MB`);

/**
 * A copy of Bun's runtime that does not know the variables by which it runs code of others before our first line, opens
 * an inspector, or stops being our program. Bun has no flag for that, and they may well be around: the application of
 * `pilotboat run -- bun …` is what they are for. Throws when this version of Bun has other names for them.
 */
function deafRuntime(to) {
  const bytes = readFileSync(BUN);
  for (const name of ["BUN_OPTIONS", "BUN_BE_BUN", "BUN_INSPECT"]) {
    let at = bytes.indexOf(name);
    if (at < 0) throw new Error(`Bun does not name "${name}" any more: see what replaces it`);
    for (; at >= 0; at = bytes.indexOf(name, at)) bytes.write("off_", at, "latin1"); // as long as "BUN_"
  }
  writeFileSync(to, bytes, { mode: 0o755 });
  return to;
}
