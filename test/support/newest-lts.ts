import { execFileSync } from "node:child_process";
import { resolve } from "node:path";
import type { Runtime } from "./pilotboat.ts";

/** The newest LTS of Node, from the npm package `node`; it is no dependency, because its bin would shadow Node. */
const PACKAGE = "node@24.21.0";

/** The package's form on that Node; undefined where npm cannot have it, which stderr then says. */
export function newestLts(): Runtime | undefined {
  try {
    const words = [
      "--yes",
      `--package=${PACKAGE}`,
      "--call",
      'node -p "process.execPath + String.fromCharCode(10) + process.versions.node"',
    ];
    const text = execFileSync("npx", words, {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
      timeout: 120_000,
    });
    const [path = "", version = ""] = text.trim().split("\n");
    return { name: `Node ${version}`, command: [path, resolve("dist/main.js")] };
  } catch {
    console.error(`The newest LTS of Node (npm package ${PACKAGE}) cannot be had here and is left out`);
    return undefined;
  }
}
