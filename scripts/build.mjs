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
import { dirname, join } from "node:path";
import { build } from "esbuild";
import { bundledPackages, licenceTexts } from "./bundled.mjs";

// npm runs `prepare` at odd times: the first `npx pilotboat` in a checkout is one, and somebody may be using what is built.
if (process.argv.includes("--if-stale") && isFresh()) process.exit(0);
execFileSync(process.execPath, ["scripts/build-descriptors.mjs"], { stdio: "inherit" });
for (const made of ["chunks", "types"]) rmSync(join("dist", made), { recursive: true, force: true });

// On Node 24 an import of node:http, dynamic ones too, reads every export of it, and so loads the fetch library: 15 ms
// and 5 MB. `require` does not. A dynamic import is of a module with names, of which only these are used.
const requireHttp = {
  name: "require-http",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:http$/ }, ({ path, kind }) => {
      if (kind === "import-statement") return { path, namespace: "require" };
      return kind === "dynamic-import" ? { path, namespace: "require-names" } : undefined;
    });
    const load = (namespace, contents) =>
      onLoad({ filter: /^/, namespace }, ({ path }) => ({ contents: contents(path) }));
    load("require", (path) => `module.exports = require("${path}");`);
    load("require-names", (path) => `export const { createServer, request } = require("${path}");`);
  },
};

const { metafile } = await build({
  entryPoints: { main: "src/main.ts", index: "src/index.ts" },
  outdir: "dist",
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node20",
  // the first is for grpc-js' channelz, which nothing here serves: 360 KB less to parse; the second is the executable's own
  external: ["@grpc/proto-loader", "bun:ffi"],
  metafile: true,
  chunkNames: "chunks/[name]-[hash]",
  loader: { ".yaml": "text" },
  plugins: [requireHttp],
  // Bundled CommonJS code asks for these three.
  banner: {
    js: [
      'import { createRequire as __createRequire } from "node:module";',
      'import { dirname as __dirnameOf } from "node:path";',
      'import { fileURLToPath as __pathOf } from "node:url";',
      "const require = __createRequire(import.meta.url), __filename = __pathOf(import.meta.url), __dirname = __dirnameOf(__filename);",
    ].join("\n"),
  },
});
cpSync("src/index.cjs", "dist/index.cjs");
chmodSync("dist/main.js", 0o755);
const packages = bundledPackages(metafile);
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
    cpSync("src/index.d.cts", "dist/types/index.d.cts");
  } finally {
    rmSync(all, { recursive: true, force: true });
  }
}
