import { gauge } from "../base/index.ts";

export const KEPT_BYTES = gauge(
  "xds_last_good_bytes",
  "Size of the last-good configuration on disk, once this run has written it.",
);
