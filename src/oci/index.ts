export { readBlob, saveBlob } from "./blobs.ts";
export { type Credentials, dockerCredentials, type FindCredentials, parseDockerConfig } from "./credentials.ts";
export { type ResolvedImage, resolveImage } from "./image.ts";
export type { Descriptor, ImagePlatform, Manifest } from "./manifest.ts";
export { formatReference, type ImageReference, parseReference } from "./reference.ts";
export { openRegistry, type Registry, type RegistryOptions } from "./registry.ts";
export { type TakeOptions, takeFile } from "./take-file.ts";
