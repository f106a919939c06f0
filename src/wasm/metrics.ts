import { counter, gauge, histogram } from "../base/index.ts";

// Source of names, labels and buckets: istio/istio pkg/wasm/monitoring.go.
export const ENTRIES = gauge("wasm_cache_entries", "Number of Wasm remote fetch cache entries.");
export const LOOKUPS = counter("wasm_cache_lookup_count", "Number of Wasm remote fetch cache lookups, by hit.");
export const FETCHES = counter("wasm_remote_fetch_count", "Number of Wasm remote fetches and their results.");
export const CONVERSIONS = counter(
  "wasm_config_conversion_count",
  "Number of Wasm config conversions and their results.",
);
export const CONVERSION_DURATION = histogram(
  "wasm_config_conversion_duration",
  "Time in milliseconds that the conversion of a response of Wasm configurations takes.",
  Array.from({ length: 15 }, (_, power) => 2 ** power),
);
