import { execFileSync } from "node:child_process";

/** The path of the default Envoy, which is fetched where it is not in the cache yet. */
export function fetchedEnvoy() {
  execFileSync("dist/pilotboat", ["envoy", "fetch"], { stdio: ["ignore", "ignore", "inherit"] });
  return execFileSync("dist/pilotboat", ["envoy", "which"], { encoding: "utf8" }).trim();
}
