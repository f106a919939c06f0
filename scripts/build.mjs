// Bundles the command and the library into dist/, with one lazy chunk per dynamic import, and writes the types.
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { isBuiltin } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { rolldown } from "rolldown";
import { bundledPackages, licenceTexts } from "./bundled.mjs";

// npm runs `prepare` at odd times: the first `npx pilotboat` in a checkout is one, and somebody may be using what is built.
if (process.argv.includes("--if-stale") && isFresh()) process.exit(0);
execFileSync(process.execPath, ["scripts/build-descriptors.mjs"], { stdio: "inherit" });
for (const made of ["chunks", "types"]) rmSync(join("dist", made), { recursive: true, force: true });

/** The files of two chunks: what every command loads, and what `proxy` loads further until Envoy is spawned. */
const first = new Map();
const bundle = await rolldown({
  input: { main: "src/launch.ts", command: "src/main.ts", index: "src/index.ts" },
  plugins: [{ name: "first", buildEnd: gatherFirst }],
  platform: "node",
  transform: { target: "node20" },
  external: ["bun:ffi"], // the executable's own
  moduleTypes: { ".yaml": "text" },
  checks: { ineffectiveDynamicImport: false }, // what is in the first chunk needs no other one
});
// CommonJS: Node loads such chunks faster than ES modules, and `require` works on every Node.
const { output } = await bundle.write({
  dir: "dist",
  format: "cjs",
  comments: { legal: true, annotation: false, jsdoc: false },
  dynamicImportInCjs: false, // an import of node:http would load the fetch library on Node 24: 15 ms and 5 MB
  entryFileNames: "[name].js",
  chunkFileNames: "chunks/[name]-[hash].js",
  codeSplitting: {
    groups: ["command", "start"].map((name) => ({ name, test: (file) => first.get(file) === name })),
  },
});
await bundle.close();
for (const { fileName } of output) escapeForeign(join("dist", fileName));
writeFileSync("dist/package.json", '{ "type": "commonjs" }\n');
chmodSync("dist/main.js", 0o755);
const packages = bundledPackages(filesIn(output));
writeFileSync("dist/THIRD-PARTY-NOTICES.txt", licenceTexts(packages));
writeFileSync(
  "dist/bundled.json",
  JSON.stringify(packages.map(({ name, version, licence }) => ({ name, version, licence }))),
);
writeTypes();
await import("./compile.mjs");

/** Gathers what is loaded together; what is imported dynamically comes later, and has chunks of its own. */
function gatherFirst() {
  const imports = (file) => this.getModuleInfo(resolve(file))?.importedIds ?? [];
  const gather = (name, file) => {
    if (first.has(file) || isBuiltin(file)) return;
    first.set(file, name);
    for (const imported of imports(file)) gather(name, imported);
  };
  for (const file of imports("src/main.ts")) gather("command", file);
  for (const file of ["src/cli/proxy.ts", "src/agent/index.ts"]) gather("start", resolve(file));
}

/** Leaves ASCII only, which needs no decoding; a single letter beyond Latin-1 doubles the memory that V8 needs for a file. */
function escapeForeign(file) {
  const escaped = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  writeFileSync(file, readFileSync(file, "utf8").replace(/[\u0080-\uffff]/g, escaped));
}

/** Whether nothing that goes into the bundle is newer than the bundle. */
function isFresh() {
  if (!existsSync("dist/index.js")) return false;
  const builtMs = statSync("dist/index.js").mtimeMs;
  const folders = ["src", "bootstrap-templates", "examples/quickstart", "scripts"];
  const files = folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true }).map((name) => join(folder, String(name))),
  );
  return [...files, "package.json", "envoy.lock.json"].every((file) => statSync(file).mtimeMs <= builtMs);
}

/** The source files of which something is in the bundle. */
function filesIn(chunks) {
  const modules = chunks.flatMap((chunk) => Object.entries(chunk.modules ?? {}));
  return modules.filter(([, { renderedLength }]) => renderedLength > 0).map(([file]) => relative(".", file));
}

/**
 * The declarations that the library's door reaches. All others stay away: they name packages that are in the bundle, which
 * nobody who installs this one has.
 */
function writeTypes() {
  const all = mkdtempSync(join(tmpdir(), "pilotboat-types-"));
  try {
    execFileSync("node_modules/.bin/tsc", ["-p", "tsconfig.types.json", "--outDir", all], { stdio: "inherit" });
    const reached = new Set(["index.d.ts"]);
    for (const file of reached) {
      const text = readFileSync(join(all, "src", file), "utf8");
      for (const [, path] of text.matchAll(/from "(\.[^"]+)\.ts"/g)) reached.add(join(dirname(file), `${path}.d.ts`));
    }
    for (const file of reached) cpSync(join(all, "src", file), join("dist/types", file));
  } finally {
    rmSync(all, { recursive: true, force: true });
  }
}
