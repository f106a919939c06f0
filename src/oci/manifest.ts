import { AgentError } from "../base/index.ts";
import { isDigest } from "./digest.ts";
import { asArray, asObject, parseJson } from "./json.ts";
import { formatReference, type ImageReference } from "./reference.ts";

/** What points at a blob or another document: enough to fetch and verify it. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  /** In bytes. */
  readonly size: number;
  readonly annotations: Readonly<Record<string, string>>;
}

/** In the words of images: `linux` and `amd64`. */
export interface ImagePlatform {
  readonly os: string;
  readonly architecture: string;
}

export interface Manifest {
  readonly kind: "manifest";
  /** As the document itself has it; empty when it has none. */
  readonly mediaType: string;
  readonly config: Descriptor;
  /** The lowest first. */
  readonly layers: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
}

export interface Index {
  readonly kind: "index";
  readonly manifests: readonly (Descriptor & { readonly platform: ImagePlatform | undefined })[];
}

/** What is asked for. Images of before 2016 (schema 1) are not: they cannot be verified by a digest. */
export const MANIFEST_TYPES = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
] as const;

const MOST_LAYERS = 127; // more, and no container runtime can mount them
const MOST_MANIFESTS = 1_000;

/**
 * Reads a manifest or index. What could be taken for both is refused: who verifies one must not run the other
 * (CVE-2021-41190). Rejects with IMAGE_UNUSABLE. Source: OCI image-spec, manifest.md and image-index.md.
 */
export function parseManifest(bytes: Buffer, reference: ImageReference): Manifest | Index {
  const refuse = (why: string): AgentError => unusable(reference, why);
  const document = parseJson(bytes);
  if (document === undefined) throw refuse("its manifest is not a JSON object");
  const { schemaVersion, config, layers, manifests } = document;
  if (schemaVersion !== 2) throw refuse(`its manifest has the version ${JSON.stringify(schemaVersion)}, wanted 2`);
  const isIndex = manifests !== undefined;
  if (isIndex === (config !== undefined || layers !== undefined)) {
    throw refuse("its manifest is neither that of an image nor an index of such");
  }
  const read = (value: unknown): Descriptor =>
    parseDescriptor(value) ?? fail(refuse("its manifest has no valid descriptor"));
  if (isIndex) {
    const list = asArray(manifests);
    if (list.length > MOST_MANIFESTS) throw refuse(`its index has ${list.length} entries`);
    return { kind: "index", manifests: list.map((one) => ({ ...read(one), platform: platformOf(one) })) };
  }
  const all = asArray(layers);
  if (all.length > MOST_LAYERS) throw refuse(`it has ${all.length} layers`);
  const mediaType = typeof document.mediaType === "string" ? document.mediaType : "";
  const annotations = textsOf(document.annotations);
  return { kind: "manifest", mediaType, config: read(config), layers: all.map(read), annotations };
}

/** An image that is what its digest says, and still of no use. */
export function unusable(reference: ImageReference, why: string, hint?: string): AgentError {
  const text = `Cannot use the image "${formatReference(reference)}": ${why}`;
  return new AgentError("IMAGE_UNUSABLE", text, hint === undefined ? {} : { hint });
}

function fail(error: Error): never {
  throw error;
}

function parseDescriptor(value: unknown): Descriptor | undefined {
  const { mediaType, digest, size, annotations } = asObject(value) ?? {};
  if (typeof mediaType !== "string" || typeof digest !== "string" || !isDigest(digest)) return undefined;
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) return undefined;
  return { mediaType, digest, size, annotations: textsOf(annotations) };
}

function platformOf(value: unknown): ImagePlatform | undefined {
  const { os, architecture } = asObject(asObject(value)?.platform) ?? {};
  return typeof os === "string" && typeof architecture === "string" ? { os, architecture } : undefined;
}

function textsOf(value: unknown): Readonly<Record<string, string>> {
  const entries = Object.entries(asObject(value) ?? {});
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === "string"));
}
