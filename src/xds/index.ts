export type { XdsRelayOptions } from "./options.ts";
export type { ResponseHook, StreamHook } from "./response-hooks.ts";
export { serveXdsRelay, type XdsRelay, type XdsRelayState } from "./serve-xds-relay.ts";
export type { LeftOut, StockEnvoyMode } from "./stock-envoy.ts";
export type {
  Intercept,
  Keepalive,
  Rejection,
  UpstreamCredentials,
  UpstreamFailure,
  UpstreamOptions,
  UpstreamState,
  UpstreamTls,
} from "./types.ts";
export type { SubstitutedWasm } from "./wasm-modules.ts";
