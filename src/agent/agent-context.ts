import type { Host, Logger } from "../base/index.ts";
import type { LoadedConfig } from "../config/index.ts";

/** What a run gets from around it, beside its configuration. */
export interface AgentContext {
  readonly host: Host;
  readonly log: Logger;
  /** Reads the configuration once more, for a reload. Absent: a reload only renders and starts anew. */
  readonly readAgain?: () => Promise<LoadedConfig>;
}
