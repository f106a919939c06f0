import type { IncomingHttpHeaders } from "node:http";
import { describeError, LONGEST_TIMER_MS, type Logger, type MetricsRegistry } from "../base/index.ts";
import { METRIC_PREFIX } from "../istio/index.ts";
import { acceptForApplication, acceptForEnvoy } from "./accept.ts";
import { commonFormat, formatOf, isOpenMetrics, TEXT_FORMAT, wholeLines } from "./exposition.ts";
import { FamilyNames } from "./families.ts";
import { httpGetStream } from "./http-get.ts";
import { SCRAPE_FAILURES, SCRAPES } from "./metrics.ts";
import { openMetricsAsText } from "./openmetrics-as-text.ts";
import { PROCESS, readProcessMetrics } from "./process-metrics.ts";
import type { ScrapeTarget } from "./targets/index.ts";

/** `host:port` of the listener that answers `GET /stats/prometheus` (`ENVOY_PROMETHEUS_PORT`). */
export interface EnvoyStatsSource {
  readonly host: string;
  readonly port: number;
}

export interface ScrapeOptions {
  readonly metrics: MetricsRegistry;
  readonly envoyStats?: EnvoyStatsSource | undefined;
  /** Of the application, in the order of the answer. Default: none. */
  readonly targets?: readonly ScrapeTarget[];
  readonly log: Logger;
}

export interface ScrapeRequest {
  readonly headers: IncomingHttpHeaders;
  /** With its question mark; empty when there is none. Handed to Envoy only. */
  readonly query: string;
}

/** Prometheus' own default; used when the scraper does not tell its limit. */
const DEFAULT_TIMEOUT_MS = 10_000;
/** Share of the scraper's limit that a source may use, so that the answer is back before the scraper gives up. */
const USABLE_TIME = 0.9;

/** What a source says beyond this is passed on as it comes; one that fails before is left out as a whole. */
const HELD_BYTES = 64 * 2 ** 10;
/** Far above a large mesh's statistics; more is no statistics. */
const MOST_BYTES = 256 * 2 ** 20;
/** Of each application where there are several. Source: istio/istio pilot/cmd/pilot-agent/status/server.go. */
const MOST_TARGET_BYTES = 10 * 2 ** 20;
/** As Go's client follows, which the reference uses. */
const MOST_REDIRECTS = 10;

/** The merged metrics, and what they are called. */
export interface Scraped {
  readonly contentType: string;
  readonly body: AsyncIterable<string | Uint8Array>;
}

/**
 * The merged scrape: the agent's metrics, Envoy's, the application's; all are asked at the same time. What a source does
 * not give is counted, logged and left out. Never rejects.
 */
export async function scrape(request: ScrapeRequest, options: ScrapeOptions): Promise<Scraped> {
  const { metrics, envoyStats, targets = [] } = options;
  metrics.count(SCRAPES);
  const [envoy, ...applications] = await Promise.all([
    envoyStats && envoyMetrics(request, envoyStats, options),
    ...targets.map((target) => applicationMetrics(request, target, options)),
  ]);
  const found = applications.filter((one) => one !== undefined);
  const format = commonFormat(found.map((one) => one.format));
  const agent = agentMetrics(options); // after the others, whose failures are among them
  return { contentType: format, body: joined({ agent, envoy, applications: found, format }) };
}

interface Parts {
  readonly agent: string;
  readonly envoy: Part | undefined;
  readonly applications: readonly Part[];
  readonly format: string;
}

/** The figures of the agent's process come last where an application may have the same of its own. */
async function* joined({ agent, envoy, applications, format }: Parts): AsyncGenerator<string | Uint8Array> {
  const names = new FamilyNames();
  const isAlone = applications.length === 0;
  const processText = (): string =>
    readProcessMetrics()
      .map((family) => family.render(freeName(family.name, names)))
      .join("");
  try {
    yield isAlone ? agent + processText() : agent;
    names.note(Buffer.from(agent));
    if (envoy !== undefined) yield* isAlone ? envoy.lines : names.noted(envoy.lines);
    for (const one of applications) {
      const lines = isOpenMetrics(one.format) && !isOpenMetrics(format) ? openMetricsAsText(one.lines) : one.lines;
      yield* names.withoutRepeats(lines, applications.length === 1 ? PROCESS : ""); // all are read already where there are more
    }
    if (!isAlone) yield processText();
    if (isOpenMetrics(format)) yield "# EOF\n";
  } finally {
    for (const part of [envoy, ...applications]) part?.[Symbol.dispose](); // whoever left early has not read them all
  }
}

/** `process_*` is about the application where it has that; the agent's own is then beside its other metrics. */
function freeName(name: string, taken: FamilyNames): string {
  return taken.has(name) ? METRIC_PREFIX + name : name;
}

/** What one source gave. */
interface Part extends Disposable {
  readonly format: string;
  readonly lines: AsyncIterable<Uint8Array>;
}

type Source = "envoy" | "application" | "agent";

/** Some are asked for at this moment, and may throw. */
function agentMetrics(options: ScrapeOptions): string {
  try {
    return options.metrics.render();
  } catch (error) {
    noteFailure("agent", "failed gathering the agent's own metrics", error, options);
    return "";
  }
}

/** Undefined when it failed, which is counted and logged. */
async function envoyMetrics(
  { headers, query }: ScrapeRequest,
  { host, port }: EnvoyStatsSource,
  options: ScrapeOptions,
): Promise<Part | undefined> {
  const failed = (error: unknown): void => noteFailure("envoy", "failed scraping envoy metrics", error, options);
  try {
    const answer = await httpGetStream({
      ...{ host, port, path: `/stats/prometheus${query}`, mostBytes: MOST_BYTES, isSilence: true }, // others may be slow
      ...limitsOf(headers, acceptForEnvoy(headers.accept), options.log),
    });
    const lines = wholeLines(await begun(answer.body, HELD_BYTES), failed);
    return { format: TEXT_FORMAT, lines, [Symbol.dispose]: () => answer[Symbol.dispose]() };
  } catch (error) {
    failed(error);
    return undefined;
  }
}

/** Of several, each is read as a whole, so that its size is known. */
async function applicationMetrics(
  { headers }: ScrapeRequest,
  { port, path }: ScrapeTarget,
  options: ScrapeOptions,
): Promise<Part | undefined> {
  const isOne = options.targets?.length === 1;
  const failed = (error: unknown): void => {
    noteFailure("application", `failed scraping application metrics from "${port}${path}"`, error, options);
  };
  try {
    const answer = await httpGetStream({
      ...{ host: "localhost", port, path, redirects: MOST_REDIRECTS },
      mostBytes: isOne ? MOST_BYTES : MOST_TARGET_BYTES,
      ...limitsOf(headers, acceptForApplication(headers.accept), options.log),
    });
    const dispose = (): void => answer[Symbol.dispose]();
    const format = formatOf(answer.contentType);
    if (format === undefined) {
      dispose();
      throw new Error(`it answered with ${answer.contentType}, which cannot be merged with text`);
    }
    const held = await begun(answer.body, isOne ? HELD_BYTES : Number.POSITIVE_INFINITY);
    return { format, lines: wholeLines(held, failed), [Symbol.dispose]: dispose };
  } catch (error) {
    failed(error);
    return undefined;
  }
}

/** Reads the first bytes, so that a source that fails early is left out; all of a short one. */
async function begun(body: AsyncIterable<Uint8Array>, heldBytes: number): Promise<AsyncIterable<Uint8Array>> {
  const pieces = body[Symbol.asyncIterator]();
  const held: Uint8Array[] = [];
  for (let bytes = 0; bytes <= heldBytes; ) {
    const { value, done } = await pieces.next();
    if (done === true) break;
    held.push(value);
    bytes += value.length;
  }
  const next = (): Promise<IteratorResult<Uint8Array>> => {
    const value = held.shift();
    return value === undefined ? pieces.next() : Promise.resolve({ value, done: false });
  };
  return { [Symbol.asyncIterator]: () => ({ next, return: async () => end(pieces) }) };
}

async function end(pieces: AsyncIterator<Uint8Array>): Promise<IteratorResult<Uint8Array>> {
  await pieces.return?.();
  return { value: undefined, done: true };
}

function noteFailure(type: Source, text: string, error: unknown, { metrics, log }: ScrapeOptions): void {
  metrics.count(SCRAPE_FAILURES, { type });
  log.error(text, { reason: describeError(error) });
}

/** What a source is told of the scraper, and how long it may take. */
function limitsOf(headers: IncomingHttpHeaders, accept: string, log: Logger) {
  const timeout = headers["x-prometheus-scrape-timeout-seconds"];
  const userAgent = headers["user-agent"];
  return {
    timeoutMs: timeoutMs(timeout, log),
    headers: {
      Accept: accept,
      ...(userAgent !== undefined && { "User-Agent": userAgent }),
      ...(typeof timeout === "string" && { "X-Prometheus-Scrape-Timeout-Seconds": timeout }),
    },
  };
}

function timeoutMs(header: string | string[] | undefined, log: Logger): number {
  if (header === undefined) return DEFAULT_TIMEOUT_MS * USABLE_TIME;
  const seconds = Number(header);
  if (header === "" || !Number.isFinite(seconds) || seconds <= 0) {
    log.warn("failed to parse scrape timeout", { header });
    return DEFAULT_TIMEOUT_MS * USABLE_TIME;
  }
  return Math.ceil(Math.min(seconds * 1_000 * USABLE_TIME, LONGEST_TIMER_MS));
}
