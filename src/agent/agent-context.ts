import type { Logger } from "../base/index.ts";
import type { LoadedConfig } from "../config/index.ts";
import type { EnvoyNews } from "../envoy/supervisor/index.ts";
import type { Host } from "../host/index.ts";

/** What a run gets from around it, beside its configuration. */
export interface AgentContext {
  readonly host: Host;
  readonly log: Logger;
  /** Told of each Envoy that crashed, and of each that was started again. */
  readonly onEnvoyNews?: ((news: EnvoyNews) => void) | undefined;
  /** Reads the configuration once more, for a reload. Absent: a reload only renders and starts anew. */
  readonly readAgain?: () => Promise<LoadedConfig>;
}
