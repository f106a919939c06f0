import { counter } from "../../base/index.ts";

export const OUTGOING_REQUESTS = counter("num_outgoing_requests", "Requests to the certificate authority.");
export const FAILED_OUTGOING_REQUESTS = counter(
  "num_failed_outgoing_requests",
  "Requests to the certificate authority that failed.",
);
export const OUTGOING_LATENCY = counter(
  "outgoing_latency",
  "Time spent in requests to the certificate authority, in milliseconds.",
);
export const OUTGOING_RETRIES = counter("num_outgoing_retries", "Retries of requests to the certificate authority.");
