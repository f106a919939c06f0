// biome-ignore lint/suspicious/noExplicitAny: manifests of every kind
type Loose = any;

/** The pods of a manifest, as the controllers of Kubernetes would send them to the API server. */
export function podsOf(manifest: Loose): readonly Loose[] {
  const { apiVersion, kind, metadata = {}, spec } = manifest;
  if (kind === "List") return manifest.items.flatMap(podsOf);
  const owned =
    (name: string, ownerKind: string, ownerVersion: string, labels = {}) =>
    (template: Loose) => [
      podOf({
        ...template,
        metadata: {
          ...template.metadata,
          generateName: `${name}-`,
          labels: { ...template.metadata?.labels, ...labels },
          ownerReferences: [{ apiVersion: ownerVersion, kind: ownerKind, name, uid: "1", controller: true }],
        },
      }),
    ];
  switch (kind) {
    case "Pod":
      return [podOf(manifest)];
    case "Deployment":
      return owned(`${metadata.name}-5d8f`, "ReplicaSet", "apps/v1", { "pod-template-hash": "5d8f" })(spec.template);
    case "CronJob":
      return owned(`${metadata.name}-28390123`, "Job", "batch/v1")(spec.jobTemplate.spec.template);
    default:
      return owned(metadata.name, kind, apiVersion)(spec.template);
  }
}

function podOf({ metadata, spec }: Loose): Loose {
  const full = (containers: Loose[] | undefined) => containers?.map((one) => ({ resources: {}, ...one }));
  const inits = spec.initContainers === undefined ? {} : { initContainers: full(spec.initContainers) };
  return { apiVersion: "v1", kind: "Pod", metadata, spec: { ...spec, containers: full(spec.containers), ...inits } };
}

/** Without what says the same in another form, and without the controllers' own marks. */
export function withoutForm(pod: Loose): Loose {
  const copy = JSON.parse(JSON.stringify(pod), (key, value) => {
    const isEmpty = /^(resources|emptyDir)$/.test(key) && Object.keys(value).length === 0;
    const isZero = (key === "value" && value === "") || (key === "initialDelaySeconds" && value === 0);
    return isEmpty || isZero || value === null ? undefined : value;
  });
  const { labels = {}, ...metadata } = copy.metadata;
  delete labels["pod-template-hash"];
  delete metadata.namespace;
  return { ...copy, metadata: { ...metadata, labels } };
}
