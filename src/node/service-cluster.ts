const DEFAULT_NAME = "istio-proxy";

export interface ServiceClusterFacts {
  /** The member of ProxyConfig's cluster-name oneof that is set. */
  readonly serviceCluster: string | undefined;
  readonly tracingServiceName: string | number | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly workloadName: string;
  readonly namespace: string;
}

/** `node.cluster`. Source: istio/istio pkg/bootstrap/config.go (getServiceCluster), pkg/config/labels. */
export function serviceClusterOf(facts: ServiceClusterFacts): string {
  if (facts.serviceCluster !== undefined) return fallback(facts.serviceCluster, facts);
  if (facts.tracingServiceName === "CANONICAL_NAME_ONLY") return fallback(canonicalName(facts), facts);
  if (facts.tracingServiceName === "CANONICAL_NAME_AND_NAMESPACE") {
    const name = canonicalName(facts);
    return facts.namespace === "" ? fallback(name, facts) : `${name}.${facts.namespace}`;
  }
  return fallback(DEFAULT_NAME, facts);
}

function fallback(name: string, { labels, workloadName, namespace }: ServiceClusterFacts): string {
  if (name !== "" && name !== DEFAULT_NAME) return name;
  const label = firstOf(labels, ["app", "app.kubernetes.io/name", "service.istio.io/canonical-name"]);
  if (label !== undefined) return `${label}.${namespace}`;
  if (workloadName !== "") return `${workloadName}.${namespace}`;
  return namespace === "" ? DEFAULT_NAME : `${DEFAULT_NAME}.${namespace}`;
}

function canonicalName({ labels, workloadName }: ServiceClusterFacts): string {
  const label = firstOf(labels, ["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"]);
  return label ?? (workloadName === "" ? DEFAULT_NAME : workloadName);
}

function firstOf(labels: Readonly<Record<string, string>>, names: readonly string[]): string | undefined {
  const name = names.find((one) => Object.hasOwn(labels, one));
  return name === undefined ? undefined : labels[name];
}
