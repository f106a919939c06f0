import type { IncomingHttpHeaders } from "node:http";
import { describeError, type Logger, type MetricsRegistry } from "../base/index.ts";
import { acceptForEnvoy } from "./accept.ts";
import { httpGetStream } from "./http-get.ts";
import { SCRAPE_FAILURES, SCRAPES } from "./metrics.ts";
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

/** What Envoy says beyond this is passed on as it comes and never held as a whole. */
const HELD_BYTES = 4 * 2 ** 20;
/** Far above a large mesh's statistics; more is no statistics. */
const MOST_BYTES = 256 * 2 ** 20;

/** The merged metrics: a text, or pieces of one whose end fails when Envoy breaks off in the middle. */
export type Scraped = string | AsyncIterable<string | Uint8Array>;

/**
 * The merged scrape: the agent's metrics, then Envoy's, with a line end between them. A source that fails is counted,
 * logged and left out; the scrape itself fails only when so much of Envoy's part has left that it cannot be left out.
 */
export async function scrape(request: ScrapeRequest, options: ScrapeOptions): Promise<Scraped> {
  const { metrics, envoyStats } = options;
  metrics.count(SCRAPES);
  const envoyPart = envoyStats === undefined ? "" : await envoyMetrics(request, envoyStats, options);
  const agentPart = withLineEnd(metrics.render() + (await renderProcessMetrics()));
  if (typeof envoyPart === "string") return agentPart + withLineEnd(envoyPart);
  return joined([agentPart], counted(envoyPart, options));
}

/** Empty when it failed, which is counted and logged. */
async function envoyMetrics(request: ScrapeRequest, source: EnvoyStatsSource, options: ScrapeOptions): Promise<Part> {
  try {
    return await holdShort(await fetchEnvoyStats(request, source, options.log));
  } catch (error) {
    noteFailure(error, options);
    return "";
  }
}

type Part = string | AsyncIterable<Uint8Array>;

/** A body of the usual size as a text; of a longer one the pieces, some of them read already. */
async function holdShort(body: AsyncIterable<Uint8Array>): Promise<Part> {
  const pieces = body[Symbol.asyncIterator]();
  const held: Uint8Array[] = [];
  for (let bytes = 0; bytes <= HELD_BYTES; ) {
    const { value, done } = await pieces.next();
    if (done === true) return Buffer.concat(held).toString();
    held.push(value);
    bytes += value.length;
  }
  return joined(held, { [Symbol.asyncIterator]: () => pieces });
}

async function* joined<A, B>(first: Iterable<A>, then: AsyncIterable<B>): AsyncGenerator<A | B> {
  yield* first;
  yield* then;
}

async function* counted(body: AsyncIterable<Uint8Array>, options: ScrapeOptions): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    noteFailure(error, options);
    throw error;
  }
}

function noteFailure(error: unknown, { metrics, log }: ScrapeOptions): void {
  metrics.count(SCRAPE_FAILURES, { type: "envoy" });
  log.error("failed scraping envoy metrics", { reason: describeError(error) });
}

function fetchEnvoyStats(
  { headers, query }: ScrapeRequest,
  source: EnvoyStatsSource,
  log: Logger,
): Promise<AsyncIterable<Uint8Array>> {
  const timeout = headers["x-prometheus-scrape-timeout-seconds"];
  const userAgent = headers["user-agent"];
  return httpGetStream({
    ...source,
    mostBytes: MOST_BYTES,
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
