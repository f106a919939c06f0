import type { Logger } from "../../base/index.ts";
import type { EnvoyNews } from "../../envoy/supervisor/index.ts";
import type { Host } from "../../host/index.ts";
import type { JsonObject } from "../../istio/mesh/index.ts";

/** What an Envoy gets from around it, beside its configuration. */
export interface Around {
  readonly host: Host;
  readonly log: Logger;
  /** Called for each Envoy that crashed, and for each that was restarted. */
  readonly onEnvoyNews?: ((news: EnvoyNews) => void) | undefined;
  /** Beside those of our own bootstrap document. Default: none. */
  readonly staticResources?: StaticResources | undefined;
}

/** Resources of Envoy's bootstrap, as its JSON has them. */
export interface StaticResources {
  readonly listeners: readonly JsonObject[];
  readonly clusters: readonly JsonObject[];
}
