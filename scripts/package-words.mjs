import { execFileSync } from "node:child_process";

/** This machine's processor, as Debian and OCI call it. */
export const ARCHITECTURE = { x64: "amd64", arm64: "arm64" }[process.arch];

/** The time of every file: the same contents give the same package. Source: reproducible-builds.org/specs/source-date-epoch. */
export const SECONDS = Number(process.env.SOURCE_DATE_EPOCH ?? 0);

/** The path of the default Envoy, which is fetched where it is not in the cache yet; of this machine's unless a platform is named. */
export function fetchedEnvoy(platform) {
  const named = platform === undefined ? [] : ["--platform", platform];
  const options = { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] };
  return execFileSync("dist/pilotboat", ["envoy", "fetch", ...named], options)
    .trim()
    .split("\n")
    .at(-1);
}

/** Linux for these processors; `bun` and `envoy` are what their publishers call it. */
const PLATFORMS = {
  "linux/amd64": { architecture: "amd64", bun: "linux-x64", envoy: "linux-x64" },
  "linux/arm64": { architecture: "arm64", bun: "linux-aarch64", envoy: "linux-arm64" },
};

/** What `--platform A,B` among the words names, and the other words. Without it `platforms` is empty: this machine's. Ends the process for one that is unknown. */
export function takePlatforms(words) {
  const at = words.findIndex((word) => word === "--platform" || word.startsWith("--platform="));
  if (at < 0) return { platforms: [], rest: words };
  const [, glued] = words[at].split("=");
  const names = (glued ?? words[at + 1] ?? "").split(",");
  const unknown = names.find((name) => !Object.hasOwn(PLATFORMS, name));
  if (unknown !== undefined) {
    console.error(`Cannot build for "${unknown}", wanted ${Object.keys(PLATFORMS).join(" or ")}`);
    process.exit(1);
  }
  const rest = words.toSpliced(at, glued === undefined ? 2 : 1);
  return { platforms: names.map((name) => ({ name, ...PLATFORMS[name] })), rest };
}

/** The executable for a processor. */
export function executableOf(architecture) {
  return architecture === ARCHITECTURE ? "dist/pilotboat" : `dist/pilotboat-${architecture}`;
}
