import { counter, gauge } from "../base/index.ts";

export const SCRAPES = counter("scrapes_total", "Scrapes of the merged metrics.");
export const SCRAPE_FAILURES = counter("scrape_failures_total", "Sources of the merged scrape that failed, by type.");
export const STARTUP_DURATION = gauge(
  "startup_duration_seconds",
  "Time from process start to first readiness, in seconds.",
);
