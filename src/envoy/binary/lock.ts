import lock from "../../../envoy.lock.json" with { type: "json" };

/** What was fetched once and hashed: the file of the source, and the executable inside it. */
export interface LockedFile {
  readonly file: string;
  readonly sha256: string;
  readonly executableSha256: string;
}

/** `linux-x64`, `linux-arm64`, `darwin-arm64`. */
export type Platform = `${string}-${string}`;
export type SourceName = "pypi" | "github";

/** The content of envoy.lock.json, compiled in. */
export interface EnvoyLock {
  readonly default: string;
  readonly versions: Readonly<Record<string, Readonly<Record<string, Partial<Record<SourceName, LockedFile>>>>>>;
}

export const ENVOY_LOCK: EnvoyLock = lock;

/** The version that is run unless another one is asked for. */
export const DEFAULT_ENVOY_VERSION: string = lock.default;

export function thisPlatform(): Platform {
  return `${process.platform}-${process.arch}`;
}
