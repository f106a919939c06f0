import { describeError } from "../base/index.ts";

/** A layer of an image. */
export interface ImageLayer {
  readonly mediaType: string;
  readonly digest: string;
  /** In bytes. */
  readonly size: number;
}

/** What a reference stands for. */
export interface WasmImage {
  /** Of the manifest, and of the index that named it where there is one; `sha256:` and hexadecimal. */
  readonly digests: readonly string[];
  /** As the manifest itself has it; empty when it has none. */
  readonly mediaType: string;
  /** The lowest first. */
  readonly layers: readonly ImageLayer[];
  /** Writes a layer to a file that does not exist yet. It is verified when this resolves. */
  save(layer: ImageLayer, file: string, stop: AbortSignal): Promise<void>;
}

/** Asks registries. */
export interface ImageSource {
  /** Rejects with an Error. `secret`: a docker configuration; undefined: what the machine has. */
  resolve(reference: string, secret: string | undefined, stop: AbortSignal): Promise<WasmImage>;
}

/** Where an image has its module, and how. */
export interface ModuleLayer {
  readonly layer: ImageLayer;
  /** The layer is an archive with a `plugin.wasm`; else it is the module. */
  readonly isArchive: boolean;
}

const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";
const WASM_LAYER = "application/vnd.module.wasm.content.layer.v1+wasm";

/** Throws an Error in Istio's words. Source: istio/istio pkg/wasm/imagefetcher.go; the Wasm image specification. */
export function moduleLayer({ mediaType, layers }: Pick<WasmImage, "mediaType" | "layers">): ModuleLayer {
  if (mediaType === DOCKER_MANIFEST) return archive(layers, DOCKER_LAYER);
  const failures: string[] = [];
  for (const [variant, find] of [
    ["compat", compat],
    ["oci", artifact],
  ] as const) {
    try {
      return find(layers);
    } catch (error) {
      failures.push(`could not parse as ${variant} variant: ${describeError(error)}`);
    }
  }
  const list = failures.map((text) => `\n\t* ${text}`).join("");
  throw new Error(`the given image is in invalid format as an OCI image: ${failures.length} errors occurred:${list}`);
}

const compat = (layers: readonly ImageLayer[]): ModuleLayer => archive(layers, OCI_LAYER);

function archive(layers: readonly ImageLayer[], wanted: string): ModuleLayer {
  const layer = layers.at(-1);
  if (layer === undefined) throw new Error("number of layers must be greater than zero");
  if (layer.mediaType !== wanted) throw new Error(`invalid media type ${layer.mediaType} (expect ${wanted})`);
  return { layer, isArchive: true };
}

function artifact(layers: readonly ImageLayer[]): ModuleLayer {
  if (layers.length !== 2) throw new Error(`number of layers must be 2 but got ${layers.length}`);
  const layer = layers.find(({ mediaType }) => mediaType === WASM_LAYER);
  if (layer === undefined) throw new Error(`could not find the layer of type ${WASM_LAYER}`);
  return { layer, isArchive: false };
}
