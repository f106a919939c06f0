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
export const LARGEST_REQUEST = gauge(
  "pilot_xds_recv_max",
  "Size of the largest message received from Envoy, in bytes.",
);
