import { counter, gauge } from "../base/index.ts";

export const REQUESTS = counter("xds_proxy_requests", "Requests sent to the control plane.");
export const RESPONSES = counter("xds_proxy_responses", "Responses received from the control plane.");
export const ENVOY_TERMINATIONS = counter(
  "envoy_connection_terminations",
  "Streams ended by Envoy: cancelled is ordinary, error is not.",
);
export const ISTIOD_TERMINATIONS = counter(
  "istiod_connection_terminations",
  "Streams ended by the control plane: cancelled is ordinary, error is not.",
);
export const ISTIOD_FAILURES = counter(
  "istiod_connection_failures",
  "Streams that could not be opened to the control plane.",
);
export const RELAYED_BYTES = counter(
  "xds_relay_bytes_total",
  "Bytes of discovery messages by direction: to_control_plane, and to_envoy before filters are left out.",
);
export const TO_CONTROL_PLANE = { direction: "to_control_plane" };
export const TO_ENVOY = { direction: "to_envoy" };
export const TYPE_STATE = gauge(
  "xds_state",
  "1 for the state in which a resource type is, 0 for the others: SYNCED, REJECTED, STALE, NOT SENT.",
);
export const TYPE_RESOURCES = gauge("xds_resources", "Resources that Envoy has, by type.");
export const TYPE_SYNCED = gauge(
  "xds_synced_timestamp_seconds",
  "When Envoy last took a response of a type, in seconds since the epoch.",
);
export const LARGEST_REQUEST = gauge(
  "pilot_xds_recv_max",
  "Size of the largest message received from Envoy, in bytes.",
);
export const SERVED_LAST_GOOD = gauge(
  "xds_last_good_served",
  "1 while Envoy has a configuration that it was given without the control plane, and that is not confirmed yet.",
);
