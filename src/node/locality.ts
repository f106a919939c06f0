import type { MetadataValue, TypedMetadata } from "../istio/metadata/index.ts";

export interface Locality {
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
}

const OWN_LABEL = "topology.istio.io/locality";
const LABEL = "istio-locality";

/**
 * The locality: from a label, whose dots separate when it has no slash, else from the platform. The label's final text
 * is kept in LABELS. Source: istio/istio pkg/bootstrap/config.go (extractLocality), pilot/pkg/util (SanitizeLocality).
 */
export function localityOf(
  typed: TypedMetadata,
  platform: Locality,
  set: (key: string, value: MetadataValue, from: string) => void,
): Locality {
  const labels = (typed.LABELS ?? {}) as Readonly<Record<string, string>>;
  const text = labels[OWN_LABEL] ?? labels[LABEL] ?? "";
  if (text === "") return platform;
  const path = text.includes("/") ? text : text.replaceAll(".", "/");
  const isShared = typed.STATIC_LABELS === typed.LABELS;
  const updated = { ...labels, [LABEL]: path };
  set("LABELS", updated, "locality label");
  if (isShared) set("STATIC_LABELS", updated, "locality label");
  const [region = "", zone = "", subZone = ""] = path.split("/");
  return { region, zone, subZone };
}
