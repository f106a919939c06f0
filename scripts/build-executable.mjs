// Compiles one self-contained executable, dist/pilotboat, with Bun.
import { execFileSync } from "node:child_process";
import { statSync } from "node:fs";

execFileSync(process.execPath, ["scripts/build-descriptors.mjs"], { stdio: "inherit" });
const flags = ["--compile", "--bytecode", "--format=cjs", "--minify", "--external", "@grpc/proto-loader"];
const file = "dist/pilotboat";
execFileSync("node_modules/.bin/bun", ["build", ...flags, "src/main.ts", "--outfile", file], {
  stdio: ["ignore", "ignore", "inherit"],
});
console.log(`${file}  ${(statSync(file).size / 1e6).toFixed(0)} MB`);
