import { counter, histogram } from "../base/index.ts";

// Source of names and buckets: istio/istio pkg/dns/client/monitoring.go.
export const REQUESTS = counter("dns_requests_total", "Total number of DNS requests.");
export const UPSTREAM_REQUESTS = counter(
  "dns_upstream_requests_total",
  "Total number of DNS requests forwarded to upstream.",
);
export const UPSTREAM_FAILURES = counter("dns_upstream_failures_total", "Total number of DNS failures from upstream.");
export const UPSTREAM_DURATION = histogram(
  "dns_upstream_request_duration_seconds",
  "Total time in seconds Istio takes to get DNS response from upstream.",
  [0.001, 0.005, 0.01, 0.1, 1, 5],
);
