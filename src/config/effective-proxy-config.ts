import type { ProxyConfig } from "../istio/mesh/index.ts";
import { addAnnotated, addComputed, type Computed, deprecations } from "./computed-values.ts";
import type { Source } from "./document.ts";
import { type FieldLayer, LayeredConfig } from "./layered-config.ts";
import { readMeshFile } from "./mesh-file.ts";
import { type OverlayReading, readOverlay } from "./overlay.ts";
import type { Origin, Problem } from "./problem.ts";
import { validateProxyConfig } from "./validate.ts";

export interface ProxyConfigSources extends Computed {
  /** What stands below every other source. Default: nothing. */
  readonly defaults?: readonly Source[];
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

interface CheckedReading extends OverlayReading {
  readonly isCheckedAlone?: true;
}

const CONFIG_ANNOTATION = "proxy.istio.io/config";

/**
 * Lays stated defaults, mesh file, PROXY_CONFIG and annotations over each other, computes what is derived, and checks the
 * result. Source: istio/istio pilot/cmd/pilot-agent/config/config.go (ConstructProxyConfig).
 */
export async function effectiveProxyConfig(sources: ProxyConfigSources): Promise<EffectiveProxyConfig> {
  const readings = await readAll(sources);
  const problems = readings.flatMap((reading) => reading.problems);
  const warnings = readings.flatMap((reading) => reading.warnings);
  const layers = new LayeredConfig();
  const found: Problem[] = [];
  for (const { overlay, isCheckedAlone } of readings) {
    if (overlay !== undefined) layers.lay(overlay);
    if (isCheckedAlone === true) found.push(...(await validated(layers)));
  }
  warnings.push(...(await addComputed(layers, sources)));
  found.push(...(await validated(layers)));
  problems.push(...distinct(found).filter((one) => !problems.some((earlier) => isBecauseOf(one, earlier))));
  const annotated = addAnnotated(layers, sources.annotations);
  problems.push(...annotated.problems);
  warnings.push(...deprecations(layers.proxy, layers), ...annotated.warnings);
  const { proxy } = layers;
  return { proxy, layers: layers.layers, origins: layers.origins(), problems: sorted(problems), warnings };
}

async function validated(layers: LayeredConfig): Promise<Problem[]> {
  const findings = validateProxyConfig(layers.proxy);
  return Promise.all(
    findings.map(async ({ path, message }) => ({ name: path.join("."), origin: await layers.locate(path), message })),
  );
}

function distinct(problems: readonly Problem[]): Problem[] {
  const keyOf = ({ name, origin, message }: Problem): string => [name, origin.source, message].join("\n");
  return [...new Map(problems.map((one) => [keyOf(one), one])).values()];
}

/** What could not be read counts as not written; that something is missing then is no news. */
function isBecauseOf({ name, origin }: Problem, unread: Problem): boolean {
  const path = unread.name.replace(/^defaultConfig\./, "");
  return (
    origin.source === unread.origin.source && (`${path}.`.startsWith(`${name}.`) || `${name}.`.startsWith(`${path}.`))
  );
}

async function readAll({
  defaults = [],
  meshFile,
  environment,
  annotations,
  isPositioned,
}: ProxyConfigSources): Promise<CheckedReading[]> {
  const readings: CheckedReading[] = [];
  for (const source of defaults) readings.push(await readOverlay(source));
  // what a mesh file makes of the defaults is checked by itself, as the reference does; the overlays only all together
  if (meshFile !== undefined) {
    readings.push({ ...(await readMeshFile({ ...meshFile, isPositioned })), isCheckedAlone: true });
  }
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
