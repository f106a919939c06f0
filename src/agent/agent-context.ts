import type { LoadedConfig } from "../config/index.ts";
import type { Around } from "./start-envoy/index.ts";

/** What a run gets from around it, beside its configuration. */
export interface AgentContext extends Around {
  /** Reads the configuration once more, for a reload. Absent: a reload only renders and starts anew. */
  readonly readAgain?: () => Promise<LoadedConfig>;
}
