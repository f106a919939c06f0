import type { Env } from "./cache.ts";
import type { Platform } from "./lock.ts";

/** What a source is asked for. */
export interface SourceRequest {
  readonly version: string;
  readonly platform: Platform;
  /** What the source calls that platform. */
  readonly platformTag: string;
  /** An empty folder to download into. */
  readonly folder: string;
  readonly env: Env;
  /** Where releases are, for the source that reads them over HTTP. Default: Envoy's own page. */
  readonly releasesUrl?: string;
  /** Of the file; what is longer is not what was asked for. */
  readonly mostBytes: number;
  /** Called now and then with the progress. */
  readonly onBytes: ((bytes: number) => void) | undefined;
  readonly stop: AbortSignal;
}
