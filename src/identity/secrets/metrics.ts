import { counter, gauge } from "../../base/index.ts";

export const CERT_EXPIRY = gauge(
  "cert_expiry_seconds",
  "Seconds until the workload certificate expires; negative when it has.",
);
export const CERT_ISSUED = gauge(
  "cert_issued_timestamp_seconds",
  "When the workload certificate was issued, in seconds since the epoch.",
);
export const FILE_CERT_EXPIRY = gauge(
  "file_cert_expiry_seconds",
  "Seconds until the certificate from a file expires, by secret name; negative when it has.",
);
export const FILE_SECRET_FAILURES = counter(
  "num_file_secret_failures_total",
  "Secrets that could not be made from files.",
);
export const FILE_WATCHER_FAILURES = counter("num_file_watcher_failures_total", "File watches that could not be set.");
export const OUTPUT_WRITE_FAILURES = counter(
  "output_write_failures",
  "Copies of the workload certificate (OUTPUT_CERTS) that could not be written.",
);
