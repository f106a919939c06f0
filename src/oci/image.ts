import { readBlob } from "./blobs.ts";
import { asArray, asObject, parseJson } from "./json.ts";
import { type Descriptor, type ImagePlatform, type Manifest, parseManifest, unusable } from "./manifest.ts";
import type { ImageReference } from "./reference.ts";
import type { Registry } from "./registry.ts";

/** What a reference stands for, once it was asked for. */
export interface ResolvedImage {
  readonly reference: ImageReference;
  /** Of the index or manifest that the reference names: what to pin. */
  readonly digest: string;
  /** Of the manifest: another one than `digest` where that is an index. */
  readonly manifestDigest: string;
  readonly manifest: Manifest;
}

/** How an index is read. */
export interface ResolveOptions {
  /** A manifest for which the index names no platform is for every one. Default: for none. */
  readonly isAnyPlatformFine?: boolean;
}

/**
 * Asks a registry what a reference stands for: of an index the manifest for `platform`, which an artefact without platforms
 * does not need. Rejects with IMAGE_UNUSABLE and what `Registry.document` rejects with.
 */
export async function resolveImage(
  registry: Registry,
  reference: ImageReference,
  platform: ImagePlatform,
  stop: AbortSignal,
  { isAnyPlatformFine = false }: ResolveOptions = {},
): Promise<ResolvedImage> {
  const { digest, bytes } = await registry.document(reference, stop);
  const found = parseManifest(bytes, reference);
  if (found.kind === "manifest") return { reference, digest, manifestDigest: digest, manifest: found };
  const one = found.manifests.find((entry) =>
    entry.platform === undefined ? isAnyPlatformFine : isSame(entry.platform, platform),
  );
  if (one === undefined) {
    const has = found.manifests.map((entry) => entry.platform).filter((entry) => entry !== undefined);
    throw unusable(
      reference,
      `it is not there for ${show(platform)}, but for ${has.map(show).join(", ") || "nothing"}`,
    );
  }
  const { bytes: inner, digest: manifestDigest } = await registry.document({ ...reference, digest: one.digest }, stop);
  const manifest = parseManifest(inner, reference);
  if (manifest.kind === "index") throw unusable(reference, "its index has another index inside");
  return { reference, digest, manifestDigest, manifest };
}

/** What a container image says of itself beside its layers. */
export interface ImageConfig {
  /** Digest of each layer when it is unpacked, in the order of the layers. */
  readonly diffIds: readonly string[];
}

const MOST_CONFIG_BYTES = 8 * 2 ** 20;

/** Fetches and checks it: right platform, one digest per layer. Rejects with IMAGE_UNUSABLE and as `streamBlob` does. */
export async function fetchConfig(
  registry: Registry,
  { reference, manifest }: ResolvedImage,
  platform: ImagePlatform,
  stop: AbortSignal,
): Promise<ImageConfig> {
  const bytes = await readBlob(registry, reference, bounded(manifest.config, reference), stop);
  const config = parseJson(bytes);
  if (config === undefined) throw unusable(reference, "its configuration is not a JSON object");
  const { os, architecture } = config;
  if (typeof os !== "string" || typeof architecture !== "string") {
    throw unusable(reference, "its configuration names no platform: it is no container image");
  }
  if (!isSame({ os, architecture }, platform)) {
    throw unusable(reference, `it is for ${show({ os, architecture })}, wanted ${show(platform)}`);
  }
  const diffIds = asArray(asObject(config.rootfs)?.diff_ids).filter((one): one is string => typeof one === "string");
  if (diffIds.length !== manifest.layers.length) {
    throw unusable(reference, `it has ${manifest.layers.length} layers, and its configuration ${diffIds.length}`);
  }
  return { diffIds };
}

function bounded(config: Descriptor, reference: ImageReference): Descriptor {
  if (config.size <= MOST_CONFIG_BYTES) return config;
  throw unusable(reference, `its configuration has ${config.size} bytes, at most ${MOST_CONFIG_BYTES} are possible`);
}

function isSame(a: ImagePlatform, b: ImagePlatform): boolean {
  return a.os === b.os && a.architecture === b.architecture;
}

function show({ os, architecture }: ImagePlatform): string {
  return `${os}/${architecture}`;
}
