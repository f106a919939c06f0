import { counter, histogram } from "../../base/index.ts";

export const SDS_REJECTS = counter("pilot_total_xds_rejects", "Responses that Envoy rejected, by type.");
export const SDS_EXPIRED_NONCES = counter(
  "pilot_xds_expired_nonce",
  "Requests of Envoy with the nonce of an earlier response, by type.",
);
export const SDS_SEND_TIME = histogram(
  "pilot_xds_send_time",
  "Time that sending a secret to Envoy took, in seconds.",
  [0.01, 0.1, 1, 3, 5, 10, 20, 30],
);
export const SDS_INTERNAL_ERRORS = counter("pilot_total_xds_internal_errors", "SDS streams that broke unexpectedly.");
