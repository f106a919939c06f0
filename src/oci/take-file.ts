import { rm } from "node:fs/promises";
import { join } from "node:path";
import { AgentError, describeError } from "../base/index.ts";
import { saveBlob } from "./blobs.ts";
import { fetchConfig, type ResolvedImage } from "./image.ts";
import { BadLayer, type InLayer, searchLayer, WrongDiffId } from "./layer.ts";
import { type Descriptor, type ImagePlatform, unusable } from "./manifest.ts";
import { formatReference, type ImageReference } from "./reference.ts";
import type { Registry } from "./registry.ts";

export interface TakeOptions {
  readonly image: ResolvedImage;
  readonly platform: ImagePlatform;
  /** In the image, such as `/usr/local/bin/envoy`. */
  readonly path: string;
  /** Where the file is put; what is there is replaced. Its mode is not that of the image. */
  readonly target: string;
  /** An empty folder for layers; the caller removes it, whatever comes of this. */
  readonly folder: string;
  /** Of the file. Default 1 GiB. */
  readonly mostBytes?: number;
  /** Called as the layers come, with their bytes so far and those of all layers that were begun. */
  readonly onProgress?: ((bytes: number, totalBytes: number) => void) | undefined;
  readonly stop: AbortSignal;
}

const LARGEST_FILE = 2 ** 30;
const LARGEST_LAYER = 4 * 2 ** 30;
const LAYER =
  /^application\/vnd\.(oci\.image\.layer\.(nondistributable\.)?v1\.tar(\+(gzip|zstd))?|docker\.image\.rootfs\.(foreign\.)?diff\.tar(\.(gzip|zstd))?)$/;

/**
 * Takes one file out of a container image without unpacking the rest. The layers are fetched from the top until one of them
 * has the file or takes it away; each is verified before it is read, packed and unpacked. Rejects with IMAGE_UNUSABLE,
 * IMAGE_DIGEST_MISMATCH, what `Registry.streamBlob` rejects with, and system errors of the disk.
 */
export async function takeFile(registry: Registry, options: TakeOptions): Promise<void> {
  const { image, platform, path, target, folder, mostBytes = LARGEST_FILE, stop } = options;
  const { reference, manifest } = image;
  const strange = manifest.layers.find(({ mediaType }) => !LAYER.test(mediaType));
  if (strange !== undefined) throw unusable(reference, `it has a layer of the type "${strange.mediaType}"`);
  const { diffIds } = await fetchConfig(registry, image, platform, stop);
  const wanted = path.replace(/^\/+/, "");
  const onBytes = counter(options.onProgress);
  for (const [at, layer] of [...manifest.layers.entries()].reverse()) {
    if (layer.size > LARGEST_LAYER) throw unusable(reference, `it has a layer of ${layer.size} bytes`);
    const file = join(folder, `layer-${at}`);
    await saveBlob(registry, reference, { blob: layer, file, onBytes: onBytes(layer.size) }, stop);
    const search = { file, path: wanted, target, mostBytes, diffId: diffIds[at] ?? "", stop };
    const found = await searchLayer(search).catch((error: unknown) => {
      stop.throwIfAborted();
      throw explain(error, layer, reference);
    });
    await rm(file);
    if (found.kind === "file") return;
    if (found.kind !== "absent") throw notThere(found, wanted, reference);
  }
  throw unusable(reference, `it has no "/${wanted}"`);
}

/** Adds up the layers. */
function counter(onProgress: TakeOptions["onProgress"]): (layerBytes: number) => ((bytes: number) => void) | undefined {
  let [bytes, total] = [0, 0];
  if (onProgress === undefined) return () => undefined;
  return (layerBytes) => {
    total += layerBytes;
    return (more) => {
      bytes += more;
      onProgress(bytes, total);
    };
  };
}

function notThere(found: InLayer & { readonly kind: "removed" | "other" }, path: string, reference: ImageReference) {
  if (found.kind === "removed") return unusable(reference, `it has no "/${path}": a layer takes it away`);
  return unusable(reference, `"/${found.at}" is ${found.what}, wanted ${found.at === path ? "a file" : "a folder"}`);
}

function explain(error: unknown, { digest }: Descriptor, reference: ImageReference): unknown {
  if (error instanceof BadLayer) return unusable(reference, `of its layer ${digest}: ${describeError(error)}`);
  if (!(error instanceof WrongDiffId)) return error;
  const text = `Cannot use the layer ${digest} of the image "${formatReference(reference)}": ${error.message}`;
  return new AgentError("IMAGE_DIGEST_MISMATCH", text, { hint: "Nothing of it was kept; find out who made it" });
}
