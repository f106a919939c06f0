export { serveXdsRelay, type XdsRelay, type XdsRelayOptions, type XdsRelayState } from "./serve-xds-relay.ts";
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
