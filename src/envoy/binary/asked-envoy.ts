import type { Env } from "./cache.ts";
import type { FindOptions } from "./find-envoy.ts";

/** What the flags of a command say. */
export interface EnvoyWords {
  /** Path of an executable. */
  readonly envoy?: string | undefined;
  readonly version?: string | undefined;
}

/**
 * Which Envoy is asked for. A flag beats a variable, and a path beats a version: `--envoy`, then the flag of a version, then
 * `ENVOY_BIN`, then `PILOTBOAT_ENVOY_VERSION`. An empty word says nothing.
 */
export function askedEnvoy({ envoy, version }: EnvoyWords, env: Env): Pick<FindOptions, "explicit" | "version"> {
  if (envoy) return { explicit: [{ path: envoy, from: "--envoy" }] };
  if (version) return { explicit: [], version };
  if (env.ENVOY_BIN) return { explicit: [{ path: env.ENVOY_BIN, from: "ENVOY_BIN" }] };
  return { explicit: [], ...(env.PILOTBOAT_ENVOY_VERSION ? { version: env.PILOTBOAT_ENVOY_VERSION } : {}) };
}
