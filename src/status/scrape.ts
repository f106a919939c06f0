import type { IncomingHttpHeaders } from "node:http";
import { describeError, type Logger, type MetricsRegistry } from "../base/index.ts";
import { acceptForEnvoy } from "./accept.ts";
import { httpGet } from "./http-get.ts";
import { helpOf } from "./metric-help.ts";
import { renderProcessMetrics } from "./process-metrics.ts";

/** `host:port` of the listener that answers `GET /stats/prometheus` (`ENVOY_PROMETHEUS_PORT`). */
export interface EnvoyStatsSource {
  readonly host: string;
  readonly port: number;
}

export interface ScrapeOptions {
  readonly metrics: MetricsRegistry;
  readonly envoyStats?: EnvoyStatsSource | undefined;
  readonly log: Logger;
}

export interface ScrapeRequest {
  readonly headers: IncomingHttpHeaders;
  /** With its question mark; empty when there is none. Handed to Envoy only. */
  readonly query: string;
}

export const TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8";

/** Prometheus' own default; used when the scraper does not tell its limit. */
const DEFAULT_TIMEOUT_MS = 10_000;
/** Share of the scraper's limit that a source may use, so that the answer is back before the scraper gives up. */
const USABLE_TIME = 0.9;

/**
 * The merged scrape: the agent's metrics, then Envoy's, with a line end between them. A source that fails is counted,
 * logged and left out; the scrape itself never fails.
 */
export async function scrape(request: ScrapeRequest, { metrics, envoyStats, log }: ScrapeOptions): Promise<string> {
  metrics.count("scrapes_total");
  let envoyPart = "";
  if (envoyStats !== undefined) {
    try {
      envoyPart = await fetchEnvoyStats(request, envoyStats, log);
    } catch (error) {
      metrics.count("scrape_failures_total", { type: "envoy" });
      log.error("failed scraping envoy metrics", { reason: describeError(error) });
    }
  }
  const agentPart = metrics.render(helpOf) + (await renderProcessMetrics());
  return [agentPart, envoyPart].map(withLineEnd).join("");
}

function fetchEnvoyStats({ headers, query }: ScrapeRequest, source: EnvoyStatsSource, log: Logger): Promise<string> {
  const timeout = headers["x-prometheus-scrape-timeout-seconds"];
  const userAgent = headers["user-agent"];
  return httpGet({
    ...source,
    path: `/stats/prometheus${query}`,
    timeoutMs: timeoutMs(timeout, log),
    headers: {
      Accept: acceptForEnvoy(headers.accept),
      ...(userAgent !== undefined && { "User-Agent": userAgent }),
      ...(typeof timeout === "string" && { "X-Prometheus-Scrape-Timeout-Seconds": timeout }),
    },
  });
}

function timeoutMs(header: string | string[] | undefined, log: Logger): number {
  if (header === undefined) return DEFAULT_TIMEOUT_MS * USABLE_TIME;
  const seconds = Number(header);
  if (header === "" || !Number.isFinite(seconds) || seconds <= 0) {
    log.warn("failed to parse scrape timeout", { header });
    return DEFAULT_TIMEOUT_MS * USABLE_TIME;
  }
  return Math.ceil(Math.min(seconds * 1_000 * USABLE_TIME, 2 ** 31 - 1));
}

function withLineEnd(part: string): string {
  return part === "" || part.endsWith("\n") ? part : `${part}\n`;
}
