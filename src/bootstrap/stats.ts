import { formatGoDuration, formatProtoDuration, parseGoDuration } from "../base/index.ts";
import type { JsonObject, ProxyConfig } from "../istio/mesh/index.ts";
import type { Warn } from "./options.ts";

/** What the statistics sections are made of. */
export interface StatsInputs {
  readonly proxy: ProxyConfig;
  readonly annotations: Readonly<Record<string, string>>;
  readonly addresses: readonly string[];
  readonly isMetadataDiscovery: boolean;
  readonly isExitOnZeroConnections: boolean;
  readonly warn: Warn;
}

export interface StatsValues {
  readonly extra_tags: readonly JsonObject[];
  readonly stats_patterns: readonly JsonObject[];
  readonly histogram_buckets: readonly JsonObject[] | undefined;
  readonly stats_flush_interval: string | undefined;
  readonly stats_eviction_interval: string | undefined;
}

/** Envoy's own flush interval, when none is configured. */
const DEFAULT_FLUSH_NS = 5_000_000_000n;

// Source of names and required parts: istio/istio pkg/bootstrap/config.go, api/annotation.
const REQUIRED_PREFIXES = ["cluster_manager", "listener_manager", "server", "cluster.xds-grpc", "wasm"];
const REQUIRED_SUFFIXES = ["rbac.allowed", "rbac.denied", "shadow_allowed", "shadow_denied"];
const REQUIRED_REGEXPS = ["vhost\\..*\\.route\\..*"];

/** Tags, inclusion patterns, histogram buckets and intervals of Envoy's statistics. */
export function statsValues(inputs: StatsInputs): StatsValues {
  const flush = flushInterval(inputs);
  return {
    extra_tags: extraTags(inputs).map((tag) => ({ tag_name: tag, regex: `(${tag}=\\.=(.*?);\\.;)` })),
    stats_patterns: patterns(inputs),
    histogram_buckets: histogramBuckets(inputs),
    stats_flush_interval: flush === undefined ? undefined : formatProtoDuration(flush),
    stats_eviction_interval: evictionInterval(inputs, flush ?? DEFAULT_FLUSH_NS),
  };
}

/** The tags that Envoy's stat names may carry beside Istio's own. */
export function extraTags({ proxy, annotations }: StatsInputs): readonly string[] {
  const annotated = annotations["sidecar.istio.io/extraStatTags"]?.split(",") ?? [];
  return [...new Set([...proxy.extraStatTags, ...annotated])].filter((tag) => tag !== "");
}

/** The three inclusion lists, `{pod_ip}` replaced by every address. */
export function inclusionLists(inputs: StatsInputs) {
  const matcher = inputs.proxy.proxyStatsMatcher;
  const list = (annotation: string, configured: readonly string[] | undefined, required: readonly string[]) => {
    const annotated = inputs.annotations[`sidecar.istio.io/${annotation}`];
    const own = annotated ? annotated.split(",") : (configured ?? []);
    return [...own, ...required].flatMap((item) =>
      item.includes("{pod_ip}") ? inputs.addresses.map((ip) => item.replaceAll("{pod_ip}", ip)) : [item],
    );
  };
  const suffixes = inputs.isExitOnZeroConnections ? [...REQUIRED_SUFFIXES, "downstream_cx_active"] : REQUIRED_SUFFIXES;
  return {
    prefixes: list("statsInclusionPrefixes", matcher?.inclusionPrefixes, REQUIRED_PREFIXES),
    suffixes: list("statsInclusionSuffixes", matcher?.inclusionSuffixes, suffixes),
    regexps: list("statsInclusionRegexps", matcher?.inclusionRegexps, REQUIRED_REGEXPS),
  };
}

function patterns(inputs: StatsInputs): JsonObject[] {
  const { prefixes, suffixes, regexps } = inclusionLists(inputs);
  return [
    { prefix: "reporter=" },
    ...(inputs.isMetadataDiscovery ? [{ prefix: "workload_discovery" }] : []),
    ...prefixes.map((prefix) => ({ prefix })),
    ...suffixes.map((suffix) => ({ suffix })),
    ...regexps.map((regex) => ({ safe_regex: { regex } })),
    { prefix: "component" },
    { prefix: "istio" },
  ];
}

function histogramBuckets({ annotations, warn }: StatsInputs): JsonObject[] | undefined {
  const text = annotations["sidecar.istio.io/statsHistogramBuckets"];
  if (text === undefined) return undefined;
  const buckets = parseBuckets(text);
  if (buckets === undefined) {
    warn(`Annotation sidecar.istio.io/statsHistogramBuckets is no JSON object of number lists: ${text}`);
    return undefined;
  }
  const sorted = Object.entries(buckets).sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted.length === 0 ? undefined : sorted.map(([prefix, list]) => ({ match: { prefix }, buckets: list }));
}

function parseBuckets(text: string): Record<string, number[]> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (value === null) return {};
    if (typeof value !== "object" || Array.isArray(value)) return undefined;
    const isNumberList = (list: unknown) => Array.isArray(list) && list.every((one) => typeof one === "number");
    return Object.values(value).every(isNumberList) ? (value as Record<string, number[]>) : undefined;
  } catch {
    return undefined;
  }
}

const LEAST_NS = 1_000_000n;
const FLUSH_LIMIT_NS = 300_000_000_000n;

/** Envoy's limits: envoyproxy/envoy api/envoy/config/bootstrap/v3/bootstrap.proto. */
function flushInterval({ annotations, warn }: StatsInputs): bigint | undefined {
  const name = "sidecar.istio.io/statsFlushInterval";
  const text = annotations[name];
  const interval = text === undefined ? undefined : parseGoDuration(text);
  if (interval !== undefined && interval >= LEAST_NS && interval < FLUSH_LIMIT_NS) return interval;
  if (text !== undefined)
    warn(`Annotation ${name} is left out: found "${text}", wanted a duration from 1ms to below 5m`);
  return undefined;
}

function evictionInterval({ annotations, warn }: StatsInputs, flush: bigint): string | undefined {
  const name = "sidecar.istio.io/statsEvictionInterval";
  const text = annotations[name];
  if (text === undefined) return undefined;
  const interval = parseGoDuration(text);
  // not cut to whole seconds as in the reference: Envoy refuses what is no multiple any more
  if (interval !== undefined && interval > 0n && interval % flush === 0n) return formatProtoDuration(interval);
  const wanted = `a multiple of the flush interval, ${formatGoDuration(flush)}`;
  warn(`Annotation ${name} is left out: found "${text}", wanted ${wanted}`);
  return undefined;
}
