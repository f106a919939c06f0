import { type Tree, treeOf, treesOf } from "../pod/json.ts";

/** What is known of the pod whose traces are described. */
export interface OtelFacts {
  /** `extensionProviders` of the mesh. */
  readonly providers: readonly Tree[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly namespace: string;
  readonly containers: readonly Tree[];
}

/**
 * `OTEL_RESOURCE_ATTRIBUTES`: empty where no provider asks for it. Source: istio/istio pkg/kube/inject/template.go
 * (otelResourceAttributes).
 */
export function otelAttributes({ providers, annotations, labels, namespace, containers }: OtelFacts): string {
  const isAsked = providers.some(
    ({ opentelemetry }) => treeOf(opentelemetry).serviceAttributeEnrichment === "OTEL_SEMANTIC_CONVENTIONS",
  );
  if (!isAsked) return "";
  const stated = (name: string): string => annotations[`resource.opentelemetry.io/${name}`] ?? "";
  const [first] = containers;
  const instance = first === undefined ? "" : `${namespace}.$(POD_NAME).${first.name}`;
  const image = containers.length === 1 ? versionOf(String(first?.image ?? "")) : "";
  const attributes = {
    "service.namespace": stated("service.namespace") || namespace,
    "service.version": stated("service.version") || labels["app.kubernetes.io/version"] || image,
    "service.instance.id": stated("service.instance.id") || instance,
  };
  return Object.entries(attributes)
    .filter(([, value]) => value !== "")
    .map(([name, value]) => `${name}=${value}`)
    .join(",");
}

/** `1.21`, `sha256:…` or both: what follows the name of an image. */
function versionOf(image: string): string {
  const [name = "", digest] = image.split(/@(.*)/s);
  const [, tag] = /:([^/:]*)$/.exec(name) ?? [];
  return [tag, digest].filter((part) => part !== undefined && part !== "").join("@");
}

/** Of the mesh as JSON. */
export function providersOf(mesh: Tree): readonly Tree[] {
  return treesOf(mesh.extensionProviders);
}
