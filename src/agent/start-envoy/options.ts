import { isAbsolute, resolve } from "node:path";
import { toMs } from "../../base/index.ts";
import type { BootstrapOptions, TemplateWords } from "../../bootstrap/index.ts";
import type { AgentConfig } from "../../config/index.ts";
import type { FindOptions } from "../../envoy/binary/index.ts";
import type { ArgumentsOptions } from "../../envoy/index.ts";
import type { DrainOptions, RestartPolicy } from "../../envoy/supervisor/index.ts";
import type { NodeDescription, NodeOptions, PlatformWords } from "../../node/index.ts";
import { ISTIO_VERSION } from "../../version.ts";
import { inRunFolder, runAs, xdsSocketPath } from "../run-folder/index.ts";

// What Envoy is started with and kept by, out of the one configuration. Pure: no room reads more than this.

/** `istioVersion` is that of the image that Envoy is out of, if it is. */
export function nodeOptions(
  { role, flags, proxy, settings, metadataEnv, origins }: AgentConfig,
  istioVersion?: string,
): NodeOptions {
  const ifSet = (name: string, value: string): string | undefined => (origins.has(name) ? value : undefined);
  return {
    role,
    domain: flags.domain,
    proxy,
    metadataEnv,
    podName: ifSet("POD_NAME", settings.podName),
    podNamespace: ifSet("POD_NAMESPACE", settings.podNamespace),
    serviceAccount: ifSet("SERVICE_ACCOUNT", settings.serviceAccount),
    instanceIp: settings.instanceIp,
    isDualStack: settings.isDualStack,
    isLoopbackOnly: settings.isLoopbackOnly,
    dnsProxyAddress: ifSet("DNS_PROXY_ADDR", settings.dnsProxyAddress),
    stsPort: flags.stsPort,
    ports: {
      status: settings.envoyStatusPort,
      prometheus: settings.envoyPrometheusPort,
      secureMetrics: settings.secureMetricsPort,
      secureMergedMetrics: settings.secureMergedMetricsPort,
    },
    isExitOnZeroConnections: settings.isExitOnZeroConnections,
    peerMetadataDiscovery: settings.peerMetadataDiscovery,
    skipDeprecatedLogs: settings.skipDeprecatedLogs,
    workloadSocketFile: settings.workloadSocketFile,
    outlierLogPath: flags.outlierLogPath,
    istioVersion: istioVersion ?? ISTIO_VERSION,
    ...(istioVersion === undefined ? {} : { istioVersionOrigin: "image of Istio that Envoy is out of" }),
  };
}

export function platformWords({ settings, origins }: AgentConfig): Omit<PlatformWords, "isIpv6"> {
  const hasMetadataHost = origins.has("GCE_METADATA_HOST");
  return {
    cloud: settings.cloudPlatform,
    gcpMetadata: settings.gcpMetadata,
    gcpQuotaProject: settings.gcpQuotaProject,
    gcpZone: settings.gcpZone,
    gceMetadataHost: hasMetadataHost ? settings.gceMetadataHost : undefined,
    hasKubernetes: settings.kubernetesServiceHost !== "",
  };
}

export function bootstrapOptions({ proxy, flags, settings }: AgentConfig): BootstrapOptions {
  return {
    proxy,
    isLogJson: flags.log_as_json,
    isDeltaXds: settings.isDeltaXds,
    compliancePolicy: settings.compliancePolicy,
    stripFragmentUnsafeIfDisabled: settings.stripFragmentUnsafeIfDisabled,
    isStatusPortProxyProtocol: settings.isStatusPortProxyProtocol,
    hostIp: settings.hostIp,
    outlierLogPath: flags.outlierLogPath,
  };
}

export function templateWords({ cwd, environment, settings }: AgentConfig): TemplateWords {
  return { cwd, environment, xdsRoot: settings.xdsRoot };
}

export function argumentsOptions(
  config: AgentConfig,
  node: Pick<NodeDescription, "addresses">,
  configFile: string,
): ArgumentsOptions {
  const { proxy, flags, settings } = config;
  return {
    configFile,
    drainSeconds: Math.trunc(toMs(proxy.drainDuration ?? 0n) / 1_000),
    // no address at all counts as IPv6 here, and here only: the reference asks whether every address is one
    isIpv6Only: node.addresses.every((address) => address.includes(":")),
    fileFlushIntervalMs: proxy.fileFlushInterval === undefined ? undefined : Math.trunc(toMs(proxy.fileFlushInterval)),
    fileFlushMinSizeKb: proxy.fileFlushMinSizeKb,
    logLevel: flags.proxyLogLevel,
    componentLogLevel: flags.proxyComponentLogLevel,
    skipDeprecatedLogs: settings.skipDeprecatedLogs,
    isCoreDumpEnabled: settings.isCoreDumpEnabled,
    configOverlay: config.envoyOverlay,
    concurrency: Math.max(0, proxy.concurrency ?? 0),
    isHotRestart: config.settings.isHotRestart,
  };
}

export function drainOptions({ role, proxy, settings, origins }: AgentConfig): DrainOptions {
  // the default is a fixed time; who asks to wait for connections instead has a bound only where somebody set one
  const isUnbounded = settings.isExitOnZeroConnections && !origins.has("terminationDrainDuration");
  return {
    isInboundOnly: role === "sidecar",
    delayMs: settings.drainDelayMs,
    terminationMs: isUnbounded ? Number.POSITIVE_INFINITY : toMs(proxy.terminationDrainDuration ?? 0n),
    isExitOnZeroConnections: settings.isExitOnZeroConnections,
    minimumMs: settings.minDrainMs,
    deadlineMs: settings.stopDeadlineMs,
    ownPorts: [
      settings.envoyStatusPort,
      settings.envoyPrometheusPort,
      settings.secureMetricsPort,
      settings.secureMergedMetricsPort,
    ].filter((port) => port !== 0),
  };
}

/** Envoy is started with our document, in which it asks the control plane for everything; not with one of the user's. */
export function hasOwnDocument({ proxy, settings }: AgentConfig): boolean {
  return [proxy.customConfigFile, proxy.proxyBootstrapTemplatePath, settings.bootstrapTemplate].every(
    (one) => one === "",
  );
}

/** A replaced Envoy ends itself that long after its successor began; by default its drain fits into it with a reserve. */
export function hotRestart({ proxy, settings }: AgentConfig): { readonly parentShutdownSeconds: number } | undefined {
  if (!settings.isHotRestart) return undefined;
  const wantedMs = settings.parentShutdownMs || toMs(proxy.drainDuration ?? 0n) + PARENT_RESERVE_MS;
  return { parentShutdownSeconds: Math.ceil(wantedMs / 1_000) };
}

const PARENT_RESERVE_MS = 15_000;

export function restartPolicy({ flags, settings }: AgentConfig): RestartPolicy {
  return flags.restart === "" ? settings.restart : (flags.restart as RestartPolicy);
}

/** The requested Envoy. A flag beats everything else, and a path beats a version. */
export function wantedEnvoy(config: AgentConfig): Pick<FindOptions, "explicit" | "usual" | "version" | "cwd"> {
  const { flags, settings, proxy, cwd } = config;
  const version = flags["envoy-version"] || settings.envoyVersion || undefined;
  const explicit = explicitEnvoys(config);
  const words = { explicit, usual: proxy.binaryPath, cwd };
  return version === undefined || explicit.length > 0 ? words : { ...words, version };
}

/** Paths to Envoy that the user gives, best first. */
export function explicitEnvoys({ flags, proxy, settings, origins, startedIn }: AgentConfig) {
  const asked = [{ path: flags.envoy === "" ? "" : resolve(startedIn, flags.envoy), from: "--envoy" }];
  const from = flags["envoy-version"] === "" ? origins.get("binaryPath") : undefined;
  if (from !== undefined) asked.push({ path: proxy.binaryPath, from: `binaryPath in ${from.source}` });
  if (flags["envoy-version"] === "") asked.push({ path: settings.envoyBinary, from: "ENVOY_BIN" });
  return asked.filter(({ path }) => path !== "");
}

/** gRPC applications ask the control plane themselves, through the agent; as Istio's `grpc-agent` template sets it. */
export function isProxyless({ settings }: AgentConfig, { typedMetadata }: NodeDescription): boolean {
  return settings.isEnvoyDisabled || typedMetadata.GENERATOR === "grpc";
}

/**
 * The same socket in the bootstrap of gRPC applications, which puts `unix:///` before it. In `/`, where pods start their
 * agent, it is the relative path that Istio writes.
 */
export function grpcSocket(config: AgentConfig): string {
  const path = xdsSocketPath(config);
  return config.cwd === "/" && !isAbsolute(config.proxy.configPath) ? path.slice(1) : path;
}

/**
 * What the agent makes of a configuration for all of its Envoys. Not in it is what each Envoy is started with: node,
 * bootstrap, arguments, executable, and how long it may drain once it is replaced.
 */
export function lastingEnvoyOptions(config: AgentConfig): Record<string, unknown> {
  const { cwd, proxy, settings, flags } = config;
  return {
    ...{ cwd, drain: drainOptions(config), restart: restartPolicy(config) },
    admin: proxy.proxyAdminPort,
    files: [inRunFolder(config, proxy.configPath), proxy.customConfigFile, settings.crashFolder],
    isHotRestart: settings.isHotRestart,
    hasWatchdog: settings.hasWatchdog,
    isDisabled: settings.isEnvoyDisabled,
    isWatched: flags.watch,
    runAs: runAs(config, 0),
    grpcBootstrap: settings.grpcBootstrapPath,
  };
}

/** What each Envoy is started with, as far as the configuration decides it: a reload applies it with the next one. */
export function startOptions(config: AgentConfig): Record<string, unknown> {
  const { proxy, settings, role } = config;
  return {
    node: nodeOptions(config),
    platform: platformWords(config),
    bootstrap: bootstrapOptions(config),
    template: [settings.bootstrapTemplate || proxy.proxyBootstrapTemplatePath, templateWords(config)],
    heapLimit: settings.heapLimit,
    extensions: [settings.stockEnvoy, role],
    arguments: argumentsOptions(config, { addresses: [] }, ""),
    environment: settings.compliancePolicy,
    executable: wantedEnvoy(config),
    grpcCertificates: settings.outputCerts,
    drainLimit: hotRestart(config),
  };
}
