// Compiles one self-contained executable, dist/pilotboat, with Bun.
import { execFileSync } from "node:child_process";

execFileSync(process.execPath, ["scripts/build-descriptors.mjs"], { stdio: "inherit" });
const flags = ["--compile", "--bytecode", "--format=cjs", "--minify", "--external", "@grpc/proto-loader"];
execFileSync("node_modules/.bin/bun", ["build", ...flags, "src/main.ts", "--outfile", "dist/pilotboat"], {
  stdio: ["ignore", "ignore", "inherit"],
});
