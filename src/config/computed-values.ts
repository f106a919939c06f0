import type { ProxyConfig } from "../istio/mesh/index.ts";
import type { LayeredConfig } from "./layered-config.ts";
import type { Problem } from "./problem.ts";
import { type Resolve, resolveStatsd } from "./statsd.ts";
import { discoveryTrouble } from "./validate.ts";

export interface Computed {
  readonly flags: { readonly concurrency: number; readonly serviceCluster: string; readonly templateFile: string };
  readonly cpuLimit: number;
  readonly cpuCount: number;
  readonly resolve: Resolve;
}

const DISCOVERY_ANNOTATION = "sidecar.istio.io/discoveryAddress";
const STATUS_PORT_ANNOTATION = "status.sidecar.istio.io/port";

/**
 * Adds what flags, the CPU limit and the resolver say. Resolves with warnings.
 * Source: istio/istio pilot/cmd/pilot-agent/config/config.go (ConstructProxyConfig).
 */
export async function addComputed(
  layers: LayeredConfig,
  { flags, cpuLimit, cpuCount, resolve }: Computed,
): Promise<Problem[]> {
  const warnings: Problem[] = [];
  if (layers.proxy.concurrency === undefined && cpuLimit !== 0) layers.set("concurrency", cpuLimit, "ISTIO_CPU_LIMIT");
  if (flags.concurrency !== 0) layers.set("concurrency", flags.concurrency, "--concurrency");
  if (!layers.proxy.concurrency && cpuLimit !== 0 && cpuLimit < cpuCount) {
    const message = `is 0, so Envoy runs ${cpuCount} threads with a limit of ${cpuLimit} CPUs`;
    warnings.push({ name: "concurrency", origin: layers.origin("concurrency"), message });
  }
  if (layers.proxy.serviceCluster === "") layers.set("serviceCluster", flags.serviceCluster, "--serviceCluster");
  const { statsdUdpAddress } = layers.proxy;
  if (statsdUdpAddress !== "") {
    const resolved = await resolveStatsd(statsdUdpAddress, resolve);
    if ("trouble" in resolved) {
      const message = `resolve StatsdUdpAddress failed: ${resolved.trouble}; no statistics are sent`;
      warnings.push({ name: "statsdUdpAddress", origin: layers.origin("statsdUdpAddress"), message });
      layers.set("statsdUdpAddress", "", "failed lookup");
    } else if (resolved.address !== statsdUdpAddress) {
      layers.set("statsdUdpAddress", resolved.address, `lookup of ${statsdUdpAddress}`);
    }
  }
  if (flags.templateFile !== "" && layers.proxy.customConfigFile === "") {
    layers.set("proxyBootstrapTemplatePath", flags.templateFile, "--templateFile");
  }
  return warnings;
}

interface AnnotationFindings {
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/**
 * Lays the two annotations that come after the check, as in the reference, and checks them: it takes an empty or broken
 * address here and then never connects. A status port that is no number is not taken.
 */
export function addAnnotated(layers: LayeredConfig, annotations: ReadonlyMap<string, string>): AnnotationFindings {
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const address = annotations.get(DISCOVERY_ANNOTATION);
  if (address !== undefined) {
    const source = `annotation ${DISCOVERY_ANNOTATION}`;
    layers.set("discoveryAddress", address, source);
    const message = discoveryTrouble(address);
    const hint = "Set it to host:port, or remove the annotation";
    if (message !== undefined) problems.push({ name: "discoveryAddress", origin: { source }, message, hint });
  }
  const port = annotations.get(STATUS_PORT_ANNOTATION);
  if (port === undefined) return { problems, warnings };
  const origin = { source: `annotation ${STATUS_PORT_ANNOTATION}` };
  if (!/^[+-]?\d{1,9}$/.test(port)) {
    const message = `found "${port}", wanted a number; ${layers.proxy.statusPort} is kept`;
    return { problems, warnings: [{ name: "statusPort", origin, message }] };
  }
  layers.set("statusPort", Number(port), origin.source);
  if (Number(port) < 0 || Number(port) > MOST_PORT) {
    const message = `port number ${port} must be in the range 0..${MOST_PORT}`;
    problems.push({ name: "statusPort", origin, message });
  }
  return { problems, warnings };
}

const MOST_PORT = 65_535;

/** Settings that work but should not be used any more. */
export function deprecations(proxy: ProxyConfig, layers: LayeredConfig): Problem[] {
  const warnings: Problem[] = [];
  const warn = (name: keyof ProxyConfig, message: string): void => {
    warnings.push({ name, origin: layers.origin(name), message });
  };
  if (proxy.envoyMetricsServiceAddress !== "") {
    warn("envoyMetricsServiceAddress", "is deprecated, use envoyMetricsService");
  }
  if (proxy.proxyMetadata.ISTIO_META_DNS_AUTO_ALLOCATE !== undefined) {
    warn("proxyMetadata", "ISTIO_META_DNS_AUTO_ALLOCATE is deprecated; the control plane allocates addresses");
  }
  return warnings;
}
