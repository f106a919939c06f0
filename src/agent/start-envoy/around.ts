import type { Logger } from "../../base/index.ts";
import type { EnvoyNews } from "../../envoy/supervisor/index.ts";
import type { Host } from "../../host/index.ts";

/** What an Envoy gets from around it, beside its configuration. */
export interface Around {
  readonly host: Host;
  readonly log: Logger;
  /** Called for each Envoy that crashed, and for each that was restarted. */
  readonly onEnvoyNews?: ((news: EnvoyNews) => void) | undefined;
}
