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
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { rolldown } from "rolldown";
import { bundledPackages, licenceTexts } from "./bundled.mjs";

// npm runs `prepare` at odd times: the first `npx pilotboat` in a checkout is one, and somebody may be using what is built.
if (process.argv.includes("--if-stale") && isFresh()) process.exit(0);
execFileSync(process.execPath, ["scripts/build-descriptors.mjs"], { stdio: "inherit" });
for (const made of ["chunks", "types"]) rmSync(join("dist", made), { recursive: true, force: true });

const bundle = await rolldown({
  input: { main: "src/main.ts", index: "src/index.ts" },
  platform: "node",
  transform: { target: "node20" },
  // the first is for grpc-js' channelz, which nothing here serves: 360 KB less to parse; the second is the executable's own
  external: ["@grpc/proto-loader", "bun:ffi"],
  moduleTypes: { ".yaml": "text" },
});
// CommonJS: Node loads such chunks faster than ES modules, and `require` works on every Node.
const { output } = await bundle.write({
  dir: "dist",
  format: "cjs",
  dynamicImportInCjs: false, // an import of node:http would load the fetch library on Node 24: 15 ms and 5 MB
  entryFileNames: "[name].js",
  chunkFileNames: "chunks/[name]-[hash].js",
});
await bundle.close();
writeFileSync("dist/package.json", '{ "type": "commonjs" }\n');
chmodSync("dist/main.js", 0o755);
const packages = bundledPackages(filesIn(output));
writeFileSync("dist/THIRD-PARTY-NOTICES.txt", licenceTexts(packages));
writeFileSync(
  "dist/bundled.json",
  JSON.stringify(packages.map(({ name, version, licence }) => ({ name, version, licence }))),
);
writeTypes();

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
