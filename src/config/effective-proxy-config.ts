import { DEFAULT_PROXY_CONFIG, fillZeros, MESH_CONFIG, PROXY_CONFIG, type ProxyConfig } from "../proto/mesh/index.ts";
import { mergeProxyConfig } from "./merge.ts";
import { type Overlay, readOverlay } from "./overlay.ts";
import type { Origin, Problem } from "./problem.ts";
import { type Resolve, resolveStatsd } from "./statsd.ts";
import { validateProxyConfig } from "./validate.ts";

export interface ProxyConfigSources {
  /** Text and path of the mesh file; undefined when there is none. */
  readonly meshFile: { readonly text: string; readonly path: string } | undefined;
  /** Text of PROXY_CONFIG, or of the file given in its place, with the name to show. */
  readonly environment: { readonly text: string; readonly source: string } | undefined;
  readonly annotations: ReadonlyMap<string, string>;
  readonly flags: { readonly concurrency: number; readonly serviceCluster: string; readonly templateFile: string };
  readonly cpuLimit: number;
  readonly cpuCount: number;
  readonly resolve: Resolve;
}

export interface EffectiveProxyConfig {
  readonly proxy: ProxyConfig;
  /** The last source that set each top-level field. */
  readonly origins: ReadonlyMap<string, Origin>;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

const CONFIG_ANNOTATION = "proxy.istio.io/config";
const DISCOVERY_ANNOTATION = "sidecar.istio.io/discoveryAddress";
const STATUS_PORT_ANNOTATION = "status.sidecar.istio.io/port";

/**
 * Lays defaults, mesh file, PROXY_CONFIG and annotations over each other, computes what is derived, and checks the
 * result. Source: istio/istio pilot/cmd/pilot-agent/config/config.go (ConstructProxyConfig).
 */
export async function effectiveProxyConfig(sources: ProxyConfigSources): Promise<EffectiveProxyConfig> {
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const overlays = await readOverlays(sources, problems, warnings);
  const origins = new Map<string, Origin>();
  const setBy = new Map<string, Overlay>();
  let proxy = DEFAULT_PROXY_CONFIG;
  for (const overlay of overlays) {
    proxy = mergeProxyConfig(proxy, overlay.present);
    for (const name of Object.keys(overlay.present)) {
      setBy.set(name, overlay);
      origins.set(name, { source: overlay.source });
    }
  }
  proxy = await computed(proxy, sources, origins, warnings);
  for (const { path, message } of validateProxyConfig(proxy)) {
    const [field = ""] = path;
    const origin = (await setBy.get(field)?.locate(path)) ?? origins.get(field) ?? { source: "default" };
    problems.push({ name: path.join("."), origin, message });
  }
  return { proxy: annotated(proxy, sources.annotations, origins, warnings), origins, problems, warnings };
}

async function readOverlays(sources: ProxyConfigSources, problems: Problem[], warnings: Problem[]): Promise<Overlay[]> {
  const overlays: Overlay[] = [];
  const add = async (text: string | undefined, source: string): Promise<void> => {
    if (text === undefined || text === "") return;
    const reading = await readOverlay(text, source, PROXY_CONFIG);
    problems.push(...reading.problems);
    warnings.push(...reading.warnings);
    if (reading.overlay !== undefined) overlays.push(reading.overlay);
  };
  if (sources.meshFile !== undefined) {
    const reading = await readOverlay(sources.meshFile.text, sources.meshFile.path, MESH_CONFIG);
    problems.push(...reading.problems);
    // A mesh file is the control plane's own: the fields an agent does not know are no mistakes, those inside defaultConfig are.
    warnings.push(...reading.warnings.filter(({ name }) => name.startsWith("defaultConfig.")));
    const mesh = reading.overlay;
    if (mesh?.present.defaultConfig !== undefined) overlays.push(await defaultConfigOf(mesh, sources.meshFile.text));
  }
  await add(sources.environment?.text, sources.environment?.source ?? "PROXY_CONFIG");
  await add(sources.annotations.get(CONFIG_ANNOTATION), `annotation ${CONFIG_ANNOTATION}`);
  return overlays;
}

/** The `defaultConfig` of a mesh file, as an overlay of its own that holds only what is really written there. */
async function defaultConfigOf(mesh: Overlay, text: string): Promise<Overlay> {
  const { parseDocument } = await import("./document.ts");
  const reading = await parseDocument(text, mesh.source);
  const tree = reading.ok ? (reading.document.tree as { readonly defaultConfig?: object }) : {};
  const inner = await readOverlay(JSON.stringify(tree.defaultConfig ?? {}), mesh.source, PROXY_CONFIG);
  return {
    source: mesh.source,
    present: inner.overlay?.present ?? {},
    locate: (path) => mesh.locate(["defaultConfig", ...path]),
  };
}

async function computed(
  proxy: ProxyConfig,
  sources: ProxyConfigSources,
  origins: Map<string, Origin>,
  warnings: Problem[],
): Promise<ProxyConfig> {
  const changed: Record<string, unknown> = { ...proxy };
  const { flags, cpuLimit, cpuCount } = sources;
  const set = (name: string, value: unknown, source: string): void => {
    changed[name] = value;
    origins.set(name, { source });
  };
  if (proxy.concurrency === undefined && cpuLimit !== 0) set("concurrency", cpuLimit, "ISTIO_CPU_LIMIT");
  if (flags.concurrency !== 0) set("concurrency", flags.concurrency, "--concurrency");
  if (!changed.concurrency && cpuLimit !== 0 && cpuLimit < cpuCount) {
    const message = `concurrency is 0, so Envoy runs ${cpuCount} threads with a limit of ${cpuLimit} CPUs`;
    warnings.push({ name: "concurrency", origin: origins.get("concurrency") ?? { source: "default" }, message });
  }
  if (proxy.serviceCluster === "") set("serviceCluster", flags.serviceCluster, "--serviceCluster");
  if (proxy.statsdUdpAddress !== "") {
    const resolved = await resolveStatsd(proxy.statsdUdpAddress, sources.resolve);
    changed.statsdUdpAddress = "address" in resolved ? resolved.address : "";
    if ("trouble" in resolved) {
      const origin = origins.get("statsdUdpAddress") ?? { source: "default" };
      warnings.push({
        name: "statsdUdpAddress",
        origin,
        message: `resolve StatsdUdpAddress failed: ${resolved.trouble}; no statistics are sent`,
      });
    }
  }
  if (flags.templateFile !== "" && proxy.customConfigFile === "") {
    set("proxyBootstrapTemplatePath", flags.templateFile, "--templateFile");
  }
  return fillZeros(PROXY_CONFIG, changed);
}

/** Two annotations come after the check, as in the reference. */
function annotated(
  proxy: ProxyConfig,
  annotations: ReadonlyMap<string, string>,
  origins: Map<string, Origin>,
  warnings: Problem[],
): ProxyConfig {
  const changed: Record<string, unknown> = { ...proxy };
  const address = annotations.get(DISCOVERY_ANNOTATION);
  if (address !== undefined) {
    changed.discoveryAddress = address;
    origins.set("discoveryAddress", { source: `annotation ${DISCOVERY_ANNOTATION}` });
  }
  const port = annotations.get(STATUS_PORT_ANNOTATION);
  const origin = { source: `annotation ${STATUS_PORT_ANNOTATION}` };
  if (port !== undefined && /^[+-]?\d+$/.test(port)) {
    changed.statusPort = Number(port);
    origins.set("statusPort", origin);
  } else if (port !== undefined) {
    const message = `found "${port}", wanted a number; ${proxy.statusPort} is kept`;
    warnings.push({ name: "statusPort", origin, message });
  }
  return fillZeros(PROXY_CONFIG, changed);
}
