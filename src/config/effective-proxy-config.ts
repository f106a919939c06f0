import type { ProxyConfig } from "../proto/mesh/index.ts";
import { addAnnotated, addComputed, type Computed, deprecations } from "./computed-values.ts";
import type { Source } from "./document.ts";
import { type FieldLayer, LayeredConfig } from "./layered-config.ts";
import { readMeshFile } from "./mesh-file.ts";
import { type OverlayReading, readOverlay } from "./overlay.ts";
import type { Origin, Problem } from "./problem.ts";
import { validateProxyConfig } from "./validate.ts";

export interface ProxyConfigSources extends Computed {
  /** Undefined when there is none. */
  readonly meshFile: Source | undefined;
  /** PROXY_CONFIG, or the file given in its place. */
  readonly environment: Source | undefined;
  readonly annotations: ReadonlyMap<string, string>;
  /** Whether lines and columns are wanted also where nothing is wrong. */
  readonly isPositioned: boolean;
}

export interface EffectiveProxyConfig {
  readonly proxy: ProxyConfig;
  readonly layers: readonly FieldLayer[];
  /** The last source that set each top-level field. */
  readonly origins: ReadonlyMap<string, Origin>;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

const CONFIG_ANNOTATION = "proxy.istio.io/config";

/**
 * Lays defaults, mesh file, PROXY_CONFIG and annotations over each other, computes what is derived, and checks the
 * result. Source: istio/istio pilot/cmd/pilot-agent/config/config.go (ConstructProxyConfig).
 */
export async function effectiveProxyConfig(sources: ProxyConfigSources): Promise<EffectiveProxyConfig> {
  const readings = await readAll(sources);
  const problems = readings.flatMap((reading) => reading.problems);
  const warnings = readings.flatMap((reading) => reading.warnings);
  const layers = new LayeredConfig();
  for (const { overlay } of readings) if (overlay !== undefined) layers.lay(overlay);
  warnings.push(...(await addComputed(layers, sources)));
  for (const { path, message } of validateProxyConfig(layers.proxy)) {
    problems.push({ name: path.join("."), origin: await layers.locate(path), message });
  }
  warnings.push(...deprecations(layers.proxy, layers), ...addAnnotated(layers, sources.annotations));
  const { proxy } = layers;
  return { proxy, layers: layers.layers, origins: layers.origins(), problems: sorted(problems), warnings };
}

async function readAll({
  meshFile,
  environment,
  annotations,
  isPositioned,
}: ProxyConfigSources): Promise<OverlayReading[]> {
  const readings: OverlayReading[] = [];
  if (meshFile !== undefined) readings.push(await readMeshFile({ ...meshFile, isPositioned }));
  if (environment !== undefined) readings.push(await readOverlay({ ...environment, isPositioned }));
  const annotation = annotations.get(CONFIG_ANNOTATION) ?? "";
  if (annotation !== "") {
    const source = `annotation ${CONFIG_ANNOTATION}`;
    readings.push(await readOverlay({ text: annotation, source, isPositioned }));
  }
  return readings;
}

/** In the order of the lines, document by document. */
function sorted(problems: readonly Problem[]): Problem[] {
  const sources = [...new Set(problems.map(({ origin }) => origin.source))];
  const rank = ({ origin }: Problem): number => sources.indexOf(origin.source);
  const line = ({ origin }: Problem): number => origin.line ?? 0;
  return [...problems].sort((a, b) => rank(a) - rank(b) || line(a) - line(b));
}
