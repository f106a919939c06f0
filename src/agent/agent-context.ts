import type { Host, Logger } from "../base/index.ts";

/** What a run gets from around it, beside its configuration. */
export interface AgentContext {
  readonly host: Host;
  readonly log: Logger;
}
