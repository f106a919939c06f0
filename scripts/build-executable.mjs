// Compiles one self-contained executable, dist/pilotboat, with Bun: `npm run build:executable [-- --platform linux/arm64]`.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundledPackages } from "./bundled.mjs";
import { ARCHITECTURE, executableOf, takePlatforms } from "./package-words.mjs";
import { startOnce } from "./training/start-once.mjs";

const BUN = realpathSync("node_modules/.bin/bun");
/** `.env` would set our variables, and `bunfig.toml` runs code: neither is ours, whatever folder we are started in. */
const READS_NOTHING = ["dotenv", "bunfig", "tsconfig", "package-json"].map((file) => `--no-compile-autoload-${file}`);
const FLAGS = [
  "--compile",
  "--bytecode",
  // as ES modules a start runs only the chunks that it needs; CommonJS cannot be split, and costs 8 ms and 10 MB more
  "--format=esm",
  "--splitting",
  "--compile-jit-policy=10", // until a start is over: `src/host/tier-up.ts`
  "--minify",
  ...READS_NOTHING,
];

execFileSync(process.execPath, ["scripts/build-descriptors.mjs"], { stdio: "inherit" });
const [platform] = takePlatforms(process.argv.slice(2)).platforms;
const isForeign = platform !== undefined && platform.architecture !== ARCHITECTURE;
const file = isForeign ? executableOf(platform.architecture) : "dist/pilotboat";
const folder = mkdtempSync(join(tmpdir(), "pilotboat-bun-"));
const metafile = join(folder, "metafile.json");
try {
  const original = isForeign ? foreignRuntime(platform.bun, folder) : BUN;
  const target = isForeign ? [`--target=bun-${platform.name.replace("/", "-")}`] : [];
  const runtime = ["--compile-executable-path", deafRuntime(original, join(folder, "bun")), ...target];
  compile([...runtime, ...(await orderOfStart(folder)), `--metafile=${metafile}`], file);
  refuseOtherPackages(bundledPackages(filesIn(JSON.parse(readFileSync(metafile, "utf8")))));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(`${file}  ${(statSync(file).size / 1e6).toFixed(0)} MB`);

function compile(flags, to) {
  execFileSync(BUN, ["build", ...FLAGS, ...flags, "src/main.ts", "--outfile", to], {
    stdio: ["ignore", "ignore", "inherit"],
  });
}

/**
 * The flag that puts the bytecode of a start side by side, which saves memory; none when that start fails. A trial executable
 * for this machine records it: the released one ignores Bun's variables (`deafRuntime`).
 */
async function orderOfStart(folder) {
  const [trial, order] = ["trial", "order"].map((name) => join(folder, name));
  try {
    compile([], trial);
    await startOnce({ controlPlane: [trial], agent: [trial], env: { BUN_BYTECODE_ORDER_OUT: order } });
    return [`--bytecode-order=${order}`];
  } catch (error) {
    console.warn(`Without the order of a start, which takes less memory: ${error}`);
    return [];
  }
}

/**
 * A copy of Bun's runtime that does not know the variables by which it runs code of others before our first line, opens
 * an inspector, writes a file, or stops being our program. Bun has no flag for that, and they may well be around: the application of
 * `pilotboat run -- bun …` is what they are for. Throws when this version of Bun has other names for them.
 */
function deafRuntime(from, to) {
  const bytes = readFileSync(from);
  if (bytes.length < 2 ** 20) throw new Error("Bun is not installed: run npm ci again, without --ignore-scripts");
  for (const name of ["BUN_OPTIONS", "BUN_BE_BUN", "BUN_INSPECT", "BUN_BYTECODE_ORDER_OUT"]) {
    let at = bytes.indexOf(name);
    if (at < 0) throw new Error(`Bun does not name "${name}" any more: see what replaces it`);
    for (; at >= 0; at = bytes.indexOf(name, at)) bytes.write("off_", at, "latin1"); // as long as "BUN_"
  }
  writeFileSync(to, bytes, { mode: 0o755 });
  return to;
}

/** Bun's runtime for another processor, in this Bun's version, from its npm package. */
function foreignRuntime(name, to) {
  const version = execFileSync(BUN, ["--version"], { encoding: "utf8" }).trim();
  const words = ["pack", "--silent", "--pack-destination", to, `@oven/bun-${name}@${version}`];
  const archive = execFileSync("npm", words, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }).trim();
  execFileSync("tar", ["-xzf", join(to, archive), "-C", to, "package/bin/bun"]);
  return join(to, "package/bin/bun");
}

/** The source files of which something is in the executable, from Bun's report of its build. */
function filesIn({ outputs }) {
  const inputs = Object.values(outputs).flatMap((output) => Object.entries(output.inputs));
  return inputs.filter(([, { bytesInOutput }]) => bytesInOutput > 0).map(([file]) => file);
}

/** The list of what is bundled, and the licence texts, are those of the bundle for Node. */
function refuseOtherPackages(packages) {
  if (!existsSync("dist/bundled.json")) return; // nothing was built for Node
  const listed = JSON.parse(readFileSync("dist/bundled.json", "utf8")).map(({ name }) => name);
  const others = packages.filter(({ name }) => !listed.includes(name)).map(({ name }) => name);
  if (others.length > 0) throw new Error(`The executable has packages that dist/bundled.json does not list: ${others}`);
}
