import { join } from "node:path";
import { AgentError } from "../../base/index.ts";
import { cacheFolder, type Env, judgeCache, openStaging } from "./cache.ts";
import type { FoundEnvoy } from "./find-envoy.ts";
import type { EnvoyImage } from "./image-name.ts";
import { readImageRecord, writeImageRecord } from "./image-record.ts";
import { ENVOY_LOCK, type EnvoyLock, type LockedFile, type Platform, thisPlatform } from "./lock.ts";
import { diskFailure, makeLasting, placeExecutable } from "./place-executable.ts";
import type { FetchNews } from "./progress.ts";
import { isIntact, sha256Of } from "./verify-cached.ts";

/** One file that is wanted of a container image. */
export interface ImageRequest {
  readonly reference: string;
  readonly platform: { readonly os: string; readonly architecture: string };
  /** In the image. */
  readonly path: string;
  /** Where it goes. */
  readonly target: string;
  /** An empty folder for what is needed on the way. */
  readonly folder: string;
  readonly env: Env;
  readonly onNote: (line: string) => void;
  readonly onProgress: FetchNews["onProgress"] | undefined;
  readonly stop: AbortSignal;
}

/**
 * Takes one file out of a container image of a registry, verified by digests. Resolves with the digest of the image's index
 * or manifest. Rejects with an AgentError, or a system error of the disk.
 */
export type TakeFromImage = (request: ImageRequest) => Promise<{ readonly digest: string }>;

export interface ImageFetchOptions extends Partial<FetchNews> {
  readonly env: Env;
  readonly image: EnvoyImage;
  /** Default: this machine's. */
  readonly platform?: Platform;
  /** Default: the one that is compiled in. */
  readonly lock?: EnvoyLock;
  readonly takeFromImage: TakeFromImage;
  readonly onNote: FetchNews["onNote"];
}

const ENVOY_IN_IMAGE = "/usr/local/bin/envoy";
const LIMIT_MS = 15 * 60 * 1_000;
/** Istio builds for these. */
const ARCHITECTURES: Readonly<Record<Platform, string>> = { "linux-x64": "amd64", "linux-arm64": "arm64" };

/** The platforms that there is an Envoy of Istio's for. */
const IMAGE_PLATFORMS: readonly Platform[] = Object.keys(ARCHITECTURES) as Platform[];

/**
 * Makes sure that the cache has the Envoy of an image, whole and verified. Without a network when it is there already; a
 * damaged one is replaced. Two at a time do no harm. What envoy.lock.json does not pin and no digest names is what the
 * registry says the tag is: `onNote` warns then. Rejects with ENVOY_FETCH_FAILED, ENVOY_HASH_MISMATCH, FILE_UNWRITABLE,
 * UNTRUSTED_PATH, what `takeFromImage` rejects with, or the reason of `stop`.
 */
export async function fetchImageEnvoy(options: ImageFetchOptions, stop: AbortSignal): Promise<FoundEnvoy> {
  const order = decide(options);
  const { image, folder, path } = order;
  const found = { path, version: undefined, istioVersion: image.istioVersion };
  await judgeCache(folder);
  if (await isThere(order, stop)) return { ...found, origin: "cache" };
  const limit = AbortSignal.timeout(LIMIT_MS);
  try {
    await download(order, options, AbortSignal.any([stop, limit]));
  } catch (error) {
    stop.throwIfAborted();
    if (limit.aborted) throw failed(order, new Error(`not done after ${LIMIT_MS / 60_000} minutes`));
    throw error instanceof AgentError ? error : (diskFailure(error, folder) ?? failed(order, error));
  } finally {
    options.onEnd?.();
  }
  return { ...found, origin: "fetched" };
}

interface ImageOrder {
  readonly image: EnvoyImage;
  /** The same with the digest of the lock, if that has one. */
  readonly reference: string;
  readonly locked: LockedFile | undefined;
  readonly platform: Platform;
  readonly architecture: string;
  readonly folder: string;
  readonly path: string;
}

function decide({ env, image, platform = thisPlatform(), lock = ENVOY_LOCK }: ImageFetchOptions): ImageOrder {
  const architecture = Object.hasOwn(ARCHITECTURES, platform) ? ARCHITECTURES[platform] : undefined;
  if (architecture === undefined) {
    const text = `Cannot fetch Envoy for ${platform} out of the image "${image.reference}": Istio's is there for ${IMAGE_PLATFORMS.join(", ")} only`;
    throw new AgentError("ENVOY_FETCH_FAILED", text, { hint: 'Take upstream\'s: "pilotboat envoy fetch"' });
  }
  const locked = lock.versions[image.name]?.[platform]?.image;
  const reference = locked === undefined ? image.reference : `${image.reference}@sha256:${locked.sha256}`;
  const folder = cacheFolder(env, image.name, platform);
  return { image, reference, locked, platform, architecture, folder, path: join(folder, "envoy") };
}

/** By what was noted when it was fetched: out of this image, and not a byte of it has changed. */
async function isThere({ path, reference, locked }: ImageOrder, stop: AbortSignal): Promise<boolean> {
  const record = await readImageRecord(path);
  if (record === undefined) return false;
  const [, digest] = reference.split("@");
  if (digest === undefined ? record.reference !== reference : record.digest !== digest) return false;
  return isIntact(path, locked?.executableSha256 ?? record.executableSha256, stop);
}

async function download(order: ImageOrder, options: ImageFetchOptions, stop: AbortSignal): Promise<void> {
  const { env, onNote, onProgress, takeFromImage } = options;
  const { image, reference, locked, platform, architecture, folder } = order;
  await using staging = await openStaging(env);
  onNote(`Fetching Istio's Envoy for ${platform} out of the image ${reference}`);
  const executable = join(staging.folder, "envoy");
  const { digest } = await takeFromImage({
    ...{ reference, env, onNote, onProgress, stop },
    platform: { os: "linux", architecture },
    path: ENVOY_IN_IMAGE,
    target: executable,
    folder: staging.folder,
  });
  await makeLasting(executable);
  const executableSha256 = await sha256Of(executable, stop);
  if (locked !== undefined && executableSha256 !== locked.executableSha256) throw notPinned(order, executableSha256);
  if (!reference.includes("@")) warnUnpinned(reference, digest, onNote);
  await placeExecutable(executable, folder, executableSha256);
  await writeImageRecord(folder, {
    reference: image.reference,
    digest,
    istioVersion: image.istioVersion,
    executableSha256,
  });
}

function warnUnpinned(reference: string, digest: string, onNote: (line: string) => void): void {
  onNote(
    `Warning: nothing pins this image: it is what the registry has at that tag today. For the same one again: --image ${reference}@${digest}`,
  );
}

function notPinned({ reference, locked }: ImageOrder, found: string): AgentError {
  const text = `Cannot use the Envoy of the image "${reference}": its SHA-256 is ${found}, envoy.lock.json wants ${locked?.executableSha256}`;
  return new AgentError("ENVOY_HASH_MISMATCH", text, { hint: "It was deleted; find out where it came from" });
}

function failed({ reference, platform, path }: ImageOrder, cause: unknown): AgentError {
  return new AgentError("ENVOY_FETCH_FAILED", `Cannot fetch Envoy for ${platform} out of the image "${reference}"`, {
    hint: `Take the file ${ENVOY_IN_IMAGE} out of the image where there is a network, and copy it to "${path}"`,
    cause,
  });
}
