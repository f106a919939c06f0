// Leaves the compiled form of the bundle for the Node that runs this, in dist/compiled/VERSION-ARCH/: one file for each file
// of the bundle that `pilotboat proxy` loads. V8 compiles a function when it is first called, so this starts an agent until it
// is ready, ends it, and keeps what V8 has compiled by then.
import { mkdirSync, rmSync } from "node:fs";
import { resolve } from "node:path";
import { startOnce } from "./training/start-once.mjs";

const compiled = resolve("dist/compiled", `${process.version}-${process.arch}`);
rmSync("dist/compiled", { recursive: true, force: true });
mkdirSync(compiled, { recursive: true }); // where this folder is, the launcher loads the bundle itself
const main = resolve("dist/main.js");
try {
  await startOnce({
    controlPlane: [process.execPath, main],
    agent: [process.execPath, resolve("scripts/training/record-compiled.cjs"), compiled, main],
  });
} catch (error) {
  rmSync(compiled, { recursive: true, force: true });
  console.warn(`Without a compiled form, which makes a start faster: ${error}`);
}
