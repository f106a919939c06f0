import { execFileSync } from "node:child_process";

/** This machine's processor, as Debian and OCI call it. */
export const ARCHITECTURE = { x64: "amd64", arm64: "arm64" }[process.arch];

/** The time of every file: the same contents give the same package. Source: reproducible-builds.org/specs/source-date-epoch. */
export const SECONDS = Number(process.env.SOURCE_DATE_EPOCH ?? 0);

/** The path of the default Envoy, which is fetched where it is not in the cache yet. */
export function fetchedEnvoy() {
  execFileSync("dist/pilotboat", ["envoy", "fetch"], { stdio: ["ignore", "ignore", "inherit"] });
  return execFileSync("dist/pilotboat", ["envoy", "which"], { encoding: "utf8" }).trim();
}
