import { accessSync, constants, type Stats, statSync } from "node:fs";
import { basename, delimiter, isAbsolute, join, resolve } from "node:path";
import { AgentError, systemCode } from "../../base/index.ts";
import { runProgram } from "../../host/index.ts";
import { cacheFolder, type Env } from "./cache.ts";
import { imageOfName, isImageName } from "./image-name.ts";
import { readImageRecord } from "./image-record.ts";
import { DEFAULT_ENVOY_VERSION, ENVOY_LOCK, type EnvoyLock, type Platform, thisPlatform } from "./lock.ts";
import { whyNotRunnable } from "./machine.ts";
import { verifyCached } from "./verify-cached.ts";

export interface FindOptions {
  /** Paths, or names on PATH, that were asked for, best first, each with the word that asked; the first one decides. */
  readonly explicit: readonly { readonly path: string; readonly from: string }[];
  /** Where an installed Envoy would be; tried silently. With a wanted version it has to be that one. */
  readonly usual?: string;
  readonly env: Env;
  /** Relative explicit paths start here. */
  readonly cwd: string;
  /** The one version that will do, on PATH and in the cache; `istio-1.31.0` for Istio's own. Default: on PATH any that envoy.lock.json knows, in the cache its default. */
  readonly version?: string;
  /** Default: this machine's. */
  readonly platform?: Platform;
  /** Default: the one that is compiled in. */
  readonly lock?: EnvoyLock;
}

export interface FoundEnvoy {
  /** Absolute. */
  readonly path: string;
  /** Undefined where looking did not need it, which saves running it: explicit and usual paths. See `askVersion`. */
  readonly version: string | undefined;
  /** For an Envoy out of an image of Istio's: which Istio, such as `1.31.0`. */
  readonly istioVersion?: string | undefined;
  readonly origin: "explicit" | "path" | "cache" | "fetched";
}

/**
 * Looks for Envoy: an explicit path, the usual place, PATH, then the cache. Resolves with undefined when there is none.
 * Rejects with ENVOY_NOT_FOUND or ENVOY_NOT_EXECUTABLE when an explicit path is wrong; nothing else is tried then. What
 * is in the cache is verified: UNTRUSTED_PATH, ENVOY_HASH_MISMATCH.
 */
export async function findEnvoy(options: FindOptions): Promise<FoundEnvoy | undefined> {
  const [explicit] = options.explicit;
  if (explicit !== undefined) {
    const path = await locateEnvoy(explicit.path, options);
    checkExecutable(path, explicit.from);
    const { istioVersion } = (await readImageRecord(path)) ?? {};
    return { path, version: undefined, ...(istioVersion && { istioVersion }), origin: "explicit" };
  }
  const { usual, version } = options;
  if (usual !== undefined && version === undefined && isExecutable(usual)) {
    return { path: usual, version: undefined, origin: "path" };
  }
  return (await findOnPath(options)) ?? (await findInCache(options));
}

/**
 * The absolute path of the requested executable. A name without a folder is looked up on PATH first, as a shell does it and
 * pilot-agent (Go's os/exec).
 */
export async function locateEnvoy(asked: string, { env, cwd }: Pick<FindOptions, "env" | "cwd">): Promise<string> {
  for (const folder of asked === basename(asked) ? foldersOfPath(env) : []) {
    const path = join(folder, asked);
    if (isExecutable(path)) return path;
  }
  return resolve(cwd, asked);
}

function foldersOfPath(env: Env): string[] {
  return (env.PATH ?? "").split(delimiter).filter((folder) => isAbsolute(folder));
}

/** Runs `envoy --version`; undefined when it does not answer as Envoy does. */
export async function askVersion(path: string, env: Env): Promise<string | undefined> {
  try {
    const { code, stdout } = await runProgram(path, ["--version"], { env, limitMs: VERSION_LIMIT_MS });
    return code === 0 ? parseVersion(stdout.toString("utf8")) : undefined;
  } catch {
    return undefined; // not an Envoy, or not for this machine
  }
}

/**
 * The version in `<path>  version: <sha>/1.38.3/Clean/RELEASE/BoringSSL`, or undefined. The path is the one that the
 * program was started by, whatever it is called. Source: envoy source/common/version/version.cc.
 */
export function parseVersion(output: string): string | undefined {
  return /^.+ version: [0-9a-f]+\/(\d+\.\d+\.\d+[^/\s]*)\/\w+\/(?:RELEASE|DEBUG)\//m.exec(output)?.[1];
}

const VERSION_LIMIT_MS = 5_000;

/** Undefined for one of Istio's: an Envoy does not report which release of Istio it is from. */
async function findOnPath({ env, version, usual }: FindOptions): Promise<FoundEnvoy | undefined> {
  if (version !== undefined && isImageName(version)) return undefined;
  const wanted = version === undefined ? Object.keys(ENVOY_LOCK.versions) : [version];
  const onPath = foldersOfPath(env).map((folder) => join(folder, "envoy"));
  for (const path of [...(usual === undefined ? [] : [usual]), ...onPath]) {
    if (!isExecutable(path)) continue;
    const found = await askVersion(path, env);
    if (found !== undefined && wanted.includes(found)) return { path, version: found, origin: "path" };
  }
  return undefined;
}

async function findInCache(options: FindOptions): Promise<FoundEnvoy | undefined> {
  const { env, version = DEFAULT_ENVOY_VERSION, platform, lock = ENVOY_LOCK } = options;
  const folder = cacheFolder(env, version, platform);
  const path = join(folder, "envoy");
  if (!isExecutable(path)) return undefined;
  const pinned = lock.versions[version]?.[platform ?? thisPlatform()] ?? {};
  await verifyCached(
    folder,
    Object.values(pinned).map(({ executableSha256 }) => executableSha256),
  );
  if (!isImageName(version)) return { path, version, origin: "cache" };
  const istioVersion = (await readImageRecord(path))?.istioVersion ?? imageOfName(version, undefined)?.istioVersion;
  return { path, version: undefined, istioVersion, origin: "cache" };
}

function isExecutable(path: string): boolean {
  try {
    checkExecutable(path, "");
    return true;
  } catch {
    return false;
  }
}

/** `from` says who named the path. */
function checkExecutable(path: string, from: string): void {
  if (!inspect(path, from).isFile()) throw notExecutable(path, from, "it is not a file");
  try {
    accessSync(path, constants.X_OK);
  } catch (error) {
    throw notExecutable(path, from, "it is not executable", error);
  }
  const why = whyNotRunnable(path);
  if (why !== undefined) throw notExecutable(path, from, why);
}

function inspect(path: string, from: string): Stats {
  try {
    return statSync(path);
  } catch (error) {
    const isMissing = ["ENOENT", "ENOTDIR"].includes(systemCode(error) ?? "");
    throw isMissing ? notFound(path, from) : notExecutable(path, from, "it cannot be inspected", error);
  }
}

const HINT = 'Give another path, or none and run "pilotboat envoy fetch"';

function notFound(path: string, from: string): AgentError {
  return new AgentError("ENVOY_NOT_FOUND", `Cannot find Envoy at "${path}" (${from})`, { hint: HINT });
}

function notExecutable(path: string, from: string, why: string, cause?: unknown): AgentError {
  const message = `Cannot run Envoy at "${path}" (${from}): ${why}`;
  return new AgentError("ENVOY_NOT_EXECUTABLE", message, { hint: HINT, cause });
}
