import { FIPS_CIPHERS } from "../istio/index.ts";
import type { EnvoyFeatures } from "./version-table.ts";

/** What decides Envoy's command line. */
export interface ArgumentsOptions {
  /** As Envoy is to open it, relative to its working directory or absolute. */
  readonly configFile: string;
  readonly drainSeconds: number;
  /** All addresses of the proxy are IPv6. */
  readonly isIpv6Only: boolean;
  /** Default 1000. */
  readonly fileFlushIntervalMs: number | undefined;
  /** 0 leaves Envoy's default. */
  readonly fileFlushMinSizeKb: number;
  /** `--proxyLogLevel`, `--proxyComponentLogLevel`. */
  readonly logLevel: string;
  readonly componentLogLevel: string;
  readonly skipDeprecatedLogs: boolean;
  readonly isCoreDumpEnabled: boolean;
  /** JSON laid over the configuration; empty for none. */
  readonly configOverlay: string;
  /** Worker threads; 0 is one per hardware thread. */
  readonly concurrency: number;
  /** Leaves the place for a base id and an epoch, which the supervisor adds. */
  readonly isHotRestart: boolean;
}

export interface Arguments {
  readonly list: readonly string[];
  /** What was left out or dropped, one line each. */
  readonly warnings: readonly string[];
}

const DEFAULT_FLUSH_MS = 1_000;

/** Envoy's arguments in the reference's order. Source: istio/istio pkg/envoy/proxy.go (args). */
export function envoyArguments(options: ArgumentsOptions, features: EnvoyFeatures): Arguments {
  const { level, components, dropped } = splitLogLevel(options.logLevel, options.componentLogLevel);
  const warnings = dropped.map((item) => `dropping invalid log level: ${item}`);
  const list = [
    ...["-c", options.configFile],
    ...["--drain-time-s", String(options.drainSeconds)],
    ...["--drain-strategy", "immediate"],
    ...["--local-address-ip-version", options.isIpv6Only ? "v6" : "v4"],
    ...["--file-flush-interval-msec", String(options.fileFlushIntervalMs ?? DEFAULT_FLUSH_MS)],
    ...(options.isHotRestart ? [] : ["--disable-hot-restart"]),
    "--allow-unknown-static-fields",
  ];
  if (options.fileFlushMinSizeKb > 0) {
    if (features.hasFileFlushMinSize) list.push("--file-flush-min-size-kb", String(options.fileFlushMinSizeKb));
    else warnings.push("fileFlushMinSizeKb is left out: this Envoy does not know --file-flush-min-size-kb");
  }
  if (level !== "") list.push("-l", level);
  if (components !== "") list.push("--component-log-level", components);
  if (options.skipDeprecatedLogs) list.push("--skip-deprecated-logs");
  if (options.isCoreDumpEnabled) list.push("--enable-core-dump");
  if (options.configOverlay !== "") list.push("--config-yaml", options.configOverlay);
  if (options.concurrency > 0) list.push("--concurrency", String(options.concurrency));
  return { list, warnings };
}

/** The bootstrap that these arguments name, as they spell it. */
export function configFileOf(args: readonly string[]): string {
  return args[args.indexOf("-c") + 1] ?? "";
}

/**
 * Splits `info,misc:error` into Envoy's general level and its component list; the deprecated component flag counts
 * only when there are no component items. Items with several colons are dropped.
 */
export function splitLogLevel(logLevel: string, componentLogLevel: string) {
  const items = logLevel.split(",").map((item) => ({ item, colons: item.split(":").length - 1 }));
  const components = items.filter(({ colons }) => colons === 1).map(({ item }) => item);
  return {
    level: items.filter(({ colons }) => colons === 0).at(-1)?.item ?? "",
    components: components.length > 0 ? components.join(",") : componentLogLevel,
    dropped: items.filter(({ colons }) => colons > 1).map(({ item }) => item),
  };
}

/** The child's environment: the agent's own, with ciphers under the two FIPS policies. */
export function envoyEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  compliancePolicy: string,
): Record<string, string | undefined> {
  const isFips = compliancePolicy === "fips-140-2" || compliancePolicy === "fips-140-3";
  return isFips ? { ...env, GRPC_SSL_CIPHER_SUITES: FIPS_CIPHERS } : { ...env };
}
