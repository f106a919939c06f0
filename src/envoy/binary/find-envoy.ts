import { execFile } from "node:child_process";
import { access, constants, stat } from "node:fs/promises";
import { delimiter, isAbsolute, join, resolve } from "node:path";
import { promisify } from "node:util";
import { AgentError, systemCode } from "../../base/index.ts";
import { DEFAULT_ENVOY_VERSION, ENVOY_LOCK, type Platform, thisPlatform } from "./lock.ts";

export interface FindOptions {
  /** Paths that were asked for by name, best first, each with the word that asked; the first one decides. */
  readonly explicit: readonly { readonly path: string; readonly from: string }[];
  /** Where an installed Envoy would be; tried silently. */
  readonly usual?: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Version to take from the cache. Default: that of envoy.lock.json. */
  readonly version?: string;
  readonly platform?: Platform;
}

export interface FoundEnvoy {
  readonly path: string;
  /** Undefined for an executable that nobody asked for its version. */
  readonly version: string | undefined;
  readonly origin: "explicit" | "path" | "cache" | "fetched";
}

/**
 * Looks for Envoy: an explicit path, the usual place, PATH, then the cache. Resolves with undefined when there is none.
 * Rejects with ENVOY_NOT_FOUND or ENVOY_NOT_EXECUTABLE when an explicit path is wrong; nothing else is tried then.
 */
export async function findEnvoy(options: FindOptions): Promise<FoundEnvoy | undefined> {
  const [explicit] = options.explicit;
  if (explicit !== undefined) {
    const path = resolve(options.cwd, explicit.path);
    await checkExecutable(path, explicit.from);
    return { path, version: undefined, origin: "explicit" };
  }
  if (options.usual !== undefined && (await isExecutable(options.usual))) {
    return { path: options.usual, version: undefined, origin: "path" };
  }
  return (await findOnPath(options.env)) ?? (await findInCache(options));
}

/** `<cache>/pilotboat/envoy/<version>/<platform>`, after the XDG base directory specification. */
export function cacheFolder(
  env: FindOptions["env"],
  version: string = DEFAULT_ENVOY_VERSION,
  platform: Platform = thisPlatform(),
): string {
  const given = env.XDG_CACHE_HOME;
  const base = given !== undefined && isAbsolute(given) ? given : join(env.HOME ?? "/", ".cache");
  return join(base, "pilotboat", "envoy", version, platform);
}

/** The version in `envoy  version: <sha>/1.38.3/Clean/RELEASE/BoringSSL`, or undefined. */
export function parseVersion(output: string): string | undefined {
  return /version: [^/\s]+\/(\d+\.\d+\.\d+[^/\s]*)\//.exec(output)?.[1];
}

const VERSION_LIMIT_MS = 5_000;

/** Runs `envoy --version`; undefined when it does not answer as Envoy does. */
export async function askVersion(path: string): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)(path, ["--version"], { timeout: VERSION_LIMIT_MS });
    return parseVersion(stdout);
  } catch {
    return undefined; // not an Envoy, or not for this machine
  }
}

async function findOnPath(env: FindOptions["env"]): Promise<FoundEnvoy | undefined> {
  for (const folder of (env.PATH ?? "").split(delimiter)) {
    const path = join(folder, "envoy");
    if (!isAbsolute(folder) || !(await isExecutable(path))) continue;
    const version = await askVersion(path);
    if (version !== undefined && version in ENVOY_LOCK.versions) return { path, version, origin: "path" };
  }
  return undefined;
}

async function findInCache({ env, version, platform }: FindOptions): Promise<FoundEnvoy | undefined> {
  const path = join(cacheFolder(env, version, platform), "envoy");
  if (!(await isExecutable(path))) return undefined;
  return { path, version: version ?? DEFAULT_ENVOY_VERSION, origin: "cache" };
}

async function isExecutable(path: string): Promise<boolean> {
  return checkExecutable(path, "").then(
    () => true,
    () => false,
  );
}

async function checkExecutable(path: string, from: string): Promise<void> {
  const hint = 'Run "pilotboat envoy fetch", or name another path with --envoy';
  try {
    const found = await stat(path);
    if (!found.isFile())
      throw new AgentError("ENVOY_NOT_EXECUTABLE", `Cannot run "${path}" (${from}): not a file`, { hint });
    await access(path, constants.X_OK);
  } catch (error) {
    if (error instanceof AgentError) throw error;
    if (systemCode(error) === "ENOENT" || systemCode(error) === "ENOTDIR") {
      throw new AgentError("ENVOY_NOT_FOUND", `Cannot find Envoy at "${path}" (${from})`, { hint });
    }
    throw new AgentError("ENVOY_NOT_EXECUTABLE", `Cannot run "${path}" (${from}): not executable`, {
      hint,
      cause: error,
    });
  }
}
