export { DISPENSABLE_FILTERS } from "./dispensable-filters.ts";
export { loopbackOf, type PlaceListener } from "./listener-places.ts";
export type { XdsRelayOptions } from "./options.ts";
export type { ResponseHook } from "./response-hooks.ts";
export { serveXdsRelay, type XdsRelay } from "./serve-xds-relay.ts";
export type { Stale } from "./staleness.ts";
export type { LeftOut } from "./stock-envoy.ts";
export type { TypeState } from "./type-states.ts";
export type { Intercept, Trouble } from "./types.ts";
