import { randomBytes } from "node:crypto";
import { access, constants, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { AgentError, judgeFolder, makeFolder, removeTree, systemCode, trustedUsers } from "../../base/index.ts";
import { xdgFolder } from "../../host/index.ts";
import { DEFAULT_ENVOY_VERSION, type Platform, thisPlatform } from "./lock.ts";

/** The environment that is looked at: PATH, HOME, XDG_CACHE_HOME, and whatever pip reads. */
export type Env = Readonly<Record<string, string | undefined>>;

/** `<cache>/pilotboat/envoy/<version>/<platform>`, which holds the file `envoy`. Default: this platform's default version. */
export function cacheFolder(
  env: Env,
  version: string = DEFAULT_ENVOY_VERSION,
  platform: Platform = thisPlatform(),
): string {
  return join(cacheRoot(env), version, platform);
}

/** Versions for this platform that are in the cache, whether the lock knows them or not. */
export async function cachedVersions(env: Env, platform: Platform = thisPlatform()): Promise<readonly string[]> {
  const names = await readdir(cacheRoot(env)).catch(() => []); // no cache yet
  const isThere = await Promise.all(
    names.map((name) =>
      access(join(cacheFolder(env, name, platform), "envoy"), constants.X_OK).then(
        () => true,
        () => false,
      ),
    ),
  );
  return names.filter((_, at) => isThere[at]).sort();
}

/** A folder for unfinished work. Disposing removes it with all that is in it. */
export interface Staging extends AsyncDisposable {
  readonly folder: string;
}

/**
 * Makes a staging folder on the same file system as the cache, so that one rename puts a finished file into it. Nobody
 * else uses it, and what dead processes left there a day ago is removed. Rejects with FILE_UNWRITABLE.
 */
export async function openStaging(env: Env): Promise<Staging> {
  const parent = join(cacheRoot(env), STAGING);
  const folder = join(parent, `${process.pid}-${randomBytes(6).toString("hex")}`);
  await makeCacheFolder(folder);
  await removeStale(parent);
  return { folder, [Symbol.asyncDispose]: () => removeTree(folder) };
}

/** Makes a folder of the cache; executables are no secret. Rejects with FILE_UNWRITABLE. */
export async function makeCacheFolder(folder: string): Promise<void> {
  await makeFolder(folder, 0o755).catch((error: unknown) => {
    throw cacheUnwritable(folder, error);
  });
}

/** What others can write is no place for an executable. Rejects with UNTRUSTED_PATH, or FILE_UNWRITABLE where we may not look. */
export async function judgeCache(folder: string): Promise<void> {
  await judgeFolder(folder, trustedUsers()).catch((error: AgentError) => {
    throw error.cause === undefined ? error : cacheUnwritable(folder, error.cause);
  });
}

/** The error for a cache that is full, read-only or not ours. */
export function cacheUnwritable(folder: string, cause: unknown): AgentError {
  const hint = "Free space or grant access there, or set XDG_CACHE_HOME to another folder";
  return new AgentError("FILE_UNWRITABLE", `Cannot write "${folder}" in Envoy's cache`, { hint, cause });
}

const STAGING = "downloads";
const STALE_MS = 24 * 60 * 60 * 1_000;

function cacheRoot(env: Env): string {
  return join(xdgFolder(env, "XDG_CACHE_HOME", ".cache"), "pilotboat", "envoy");
}

async function removeStale(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const path = join(parent, name);
    const found = await stat(path).catch(() => undefined); // another fetch may just have ended
    if (found === undefined || Date.now() - found.mtimeMs < STALE_MS || isAlive(Number.parseInt(name, 10))) continue;
    await removeTree(path).catch(() => undefined); // another user's: not ours to mend
  }
}

function isAlive(pid: number): boolean {
  if (!(pid > 0)) return false;
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return systemCode(error) === "EPERM"; // there, but another user's
  }
}
