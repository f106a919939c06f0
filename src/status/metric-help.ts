/** HELP texts by metric name without prefix: what an operator sees beside a series. */
const HELP: Readonly<Record<string, string>> = {
  cert_expiry_seconds: "Seconds until the workload certificate expires; negative when it has.",
  cert_issued_timestamp_seconds: "When the workload certificate was issued, in seconds since the epoch.",
  dns_requests_total: "DNS queries received.",
  dns_upstream_failures_total: "DNS queries answered with SERVFAIL because every upstream failed.",
  dns_upstream_request_duration_seconds: "Time that DNS upstreams took, in seconds.",
  dns_upstream_requests_total: "DNS queries forwarded upstream.",
  envoy_connection_terminations: "Streams ended by Envoy: cancelled is ordinary, error is not.",
  envoy_restarts_total: "Starts of Envoy after one that ended by itself.",
  file_cert_expiry_seconds: "Seconds until the certificate from a file expires, by secret name; negative when it has.",
  istiod_connection_failures: "Streams that could not be opened to the control plane.",
  istiod_connection_terminations: "Streams ended by the control plane: cancelled is ordinary, error is not.",
  num_failed_outgoing_requests: "Requests to the certificate authority that failed.",
  num_file_secret_failures_total: "Secrets that could not be made from files.",
  num_file_watcher_failures_total: "File watches that could not be set.",
  num_outgoing_requests: "Requests to the certificate authority.",
  num_outgoing_retries: "Retries of requests to the certificate authority.",
  outgoing_latency: "Time spent in requests to the certificate authority, in milliseconds.",
  output_write_failures: "Copies of the workload certificate (OUTPUT_CERTS) that could not be written.",
  pilot_total_xds_internal_errors: "SDS streams that broke unexpectedly.",
  pilot_total_xds_rejects: "Responses that Envoy rejected, by type.",
  pilot_xds_expired_nonce: "Requests of Envoy with the nonce of an earlier response, by type.",
  pilot_xds_recv_max: "Size of the largest message received from Envoy, in bytes.",
  pilot_xds_send_time: "Time that sending a secret to Envoy took, in seconds.",
  scrape_failures_total: "Sources of the merged scrape that failed, by type.",
  scrapes_total: "Scrapes of the merged metrics.",
  startup_duration_seconds: "Time from process start to first readiness, in seconds.",
  token_expiry_seconds: "Seconds until the token that authenticates the agent expires; negative when it has.",
  wasm_cache_entries: "Wasm modules in the cache.",
  xds_proxy_requests: "Requests sent to the control plane.",
  xds_proxy_responses: "Responses received from the control plane.",
};

export function helpOf(name: string): string | undefined {
  return HELP[name];
}
