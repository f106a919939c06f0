import { decodePresent, fillZeros, MESH_CONFIG, type MeshConfig, type ProxyConfig } from "../istio/mesh/index.ts";
import { ConfigError } from "./config-error.ts";
import type { Source } from "./document.ts";
import { LayeredConfig } from "./layered-config.ts";
import { readMeshFile } from "./mesh-file.ts";
import { Findings, type OverlayReading, readOverlay, readTree } from "./overlay.ts";
import type { Problem } from "./problem.ts";
import { validateProxyConfig } from "./validate.ts";

/** A mesh, as its control plane sees it. */
export interface MeshSettings {
  /** With Istio's own values where the text has none. */
  readonly mesh: MeshConfig;
  readonly warnings: readonly Problem[];
  /** ProxyConfig of the mesh with these over it, the last above all. Rejects with CONFIG_INVALID. */
  proxyConfigOf(overlays: readonly Source[]): Promise<ProxyConfig>;
}

/**
 * Reads MeshConfig; its `defaultConfig` lies over Istio's own. Rejects with CONFIG_INVALID. Source: istio/istio
 * pkg/config/mesh/mesh.go (ApplyMeshConfig, ApplyProxyConfig).
 */
export async function readMeshSettings(source: Source): Promise<MeshSettings> {
  const reading = await readMeshFile(source);
  if (reading.problems.length > 0) throw new ConfigError(reading.problems, reading.warnings);
  const found = await readTree(source);
  const tree = ("tree" in found ? found.tree : undefined) ?? {};
  const { defaultConfig: _, ...mesh } = tree;
  const present = decodePresent(MESH_CONFIG, mesh, [], new Findings());
  return {
    mesh: fillZeros(MESH_CONFIG, { ...DEFAULTS, ...present }),
    warnings: reading.warnings,
    proxyConfigOf: async (overlays) => laid([reading, ...(await Promise.all(overlays.map(readOverlay)))]),
  };
}

/** Source: istio/istio pkg/config/mesh/mesh.go (DefaultMeshConfig), as far as an injector asks. */
const DEFAULTS = {
  trustDomain: "cluster.local",
  rootNamespace: "istio-system",
  proxyListenPort: 15_001,
  proxyInboundListenPort: 15_006,
  enablePrometheusMerge: true,
};

async function laid(readings: readonly OverlayReading[]): Promise<ProxyConfig> {
  const layers = new LayeredConfig();
  for (const { overlay } of readings) if (overlay !== undefined) layers.lay(overlay);
  const invalid = await Promise.all(
    validateProxyConfig(layers.proxy).map(async ({ path, message }) => ({
      name: path.join("."),
      origin: await layers.locate(path),
      message,
    })),
  );
  const problems = [...readings.flatMap((reading) => reading.problems), ...invalid];
  if (problems.length > 0) throw new ConfigError(problems);
  return layers.proxy;
}
