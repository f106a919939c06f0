import type { Container, EnvEntry, Pod } from "./pod.ts";

type Texts = Readonly<Record<string, string>>;

export interface ContainerEnv {
  readonly values: ReadonlyMap<string, string>;
  /** Variables whose value is in a Secret, which nobody reads for this. */
  readonly secret: readonly string[];
  /** Variables whose source is not there, may not be read, or is known only to the node. */
  readonly unknown: readonly string[];
}

/**
 * The variables that the kubelet gives to a container: literal values with `$(NAME)`, fields and limits of the pod, and
 * ConfigMaps, of which `configMaps` has the data by name. A later entry beats an earlier one.
 * Source: Kubernetes API, core/v1 EnvVar, EnvVarSource, EnvFromSource.
 */
export function containerEnv(
  pod: Pod,
  container: Container,
  configMaps: ReadonlyMap<string, Texts> = new Map(),
): ContainerEnv {
  const values = new Map<string, string>();
  const secret: string[] = [];
  const unknown: string[] = [];
  for (const { prefix = "", configMapRef, secretRef } of container.envFrom ?? []) {
    if (secretRef !== undefined) secret.push(`Secret ${secretRef.name ?? ""}`);
    for (const [key, value] of Object.entries(configMaps.get(configMapRef?.name ?? "") ?? {})) {
      values.set(`${prefix}${key}`, value);
    }
  }
  for (const entry of container.env ?? []) {
    const value = resolveEntry(entry, { pod, container, configMaps, values });
    if (entry.valueFrom?.secretKeyRef !== undefined) secret.push(entry.name);
    else if (value === undefined) unknown.push(entry.name);
    else values.set(entry.name, value);
  }
  return { values, secret, unknown };
}

/** The ConfigMaps that a container's variables come from. */
export function configMapsOf({ env = [], envFrom = [] }: Container): readonly string[] {
  const names = [
    ...envFrom.map(({ configMapRef }) => configMapRef?.name),
    ...env.map(({ valueFrom }) => valueFrom?.configMapKeyRef?.name),
  ];
  return [...new Set(names.filter((name) => name !== undefined))];
}

interface Sources {
  readonly pod: Pod;
  readonly container: Container;
  readonly configMaps: ReadonlyMap<string, Texts>;
  readonly values: ReadonlyMap<string, string>;
}

function resolveEntry({ value, valueFrom }: EnvEntry, sources: Sources): string | undefined {
  if (valueFrom === undefined) return expandReferences(value ?? "", sources.values);
  const { fieldRef, resourceFieldRef, configMapKeyRef } = valueFrom;
  if (fieldRef !== undefined) return fieldOf(sources.pod, fieldRef.fieldPath);
  if (resourceFieldRef !== undefined) return resourceOf(resourceFieldRef, sources);
  return configMapKeyRef && sources.configMaps.get(configMapKeyRef.name ?? "")?.[configMapKeyRef.key];
}

/** `$(NAME)` of what is known stands for its value, `$$` for `$`; everything else stays. */
export function expandReferences(text: string, values: ReadonlyMap<string, string>): string {
  return text.replaceAll(/\$\$|\$\(([^()]*)\)/g, (found, name: string | undefined) =>
    name === undefined ? "$" : (values.get(name) ?? found),
  );
}

const SUBSCRIPT = /^metadata\.(labels|annotations)\['([^']*)'\]$/;

/** A missing label or annotation is empty; a field that is not there yet is undefined. */
function fieldOf({ metadata = {}, spec = {}, status = {} }: Pod, path: string): string | undefined {
  const [, map, key = ""] = SUBSCRIPT.exec(path) ?? [];
  if (map !== undefined) return metadata[map as "labels" | "annotations"]?.[key] ?? "";
  const ips = (list: readonly { readonly ip: string }[] | undefined): string | undefined =>
    list?.map(({ ip }) => ip).join(",");
  const fields: Readonly<Record<string, string | undefined>> = {
    "metadata.name": metadata.name,
    "metadata.namespace": metadata.namespace,
    "metadata.uid": metadata.uid,
    "spec.nodeName": spec.nodeName,
    "spec.serviceAccountName": spec.serviceAccountName ?? "default",
    "status.hostIP": status.hostIP,
    "status.hostIPs": ips(status.hostIPs),
    "status.podIP": status.podIP,
    "status.podIPs": ips(status.podIPs),
  };
  return fields[path];
}

type ResourceReference = NonNullable<NonNullable<EnvEntry["valueFrom"]>["resourceFieldRef"]>;

/** Rounded up to whole divisors. Without a limit it is the node's size, which only the node knows. */
function resourceOf({ containerName, resource, divisor = "1" }: ResourceReference, { pod, container }: Sources) {
  const all = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
  const of = containerName === undefined ? container : all.find(({ name }) => name === containerName);
  const [kind = "", name = ""] = resource.split(".", 2);
  const found = of?.resources?.[kind as "limits" | "requests"]?.[name];
  const [amount, unit] = [found, divisor === "0" ? "1" : divisor].map(parseQuantity);
  return amount === undefined || unit === undefined ? undefined : String(Math.ceil(amount / unit));
}

const SUFFIXES: Readonly<Record<string, number>> = {
  ...{ n: 1e-9, u: 1e-6, m: 1e-3, "": 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18 },
  ...{ Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50, Ei: 2 ** 60 },
};

/** Source: Kubernetes apimachinery, resource.Quantity. */
function parseQuantity(text: string | undefined): number | undefined {
  const [, number = "", suffix = ""] = /^([+-]?[\d.]+(?:[eE][+-]?\d+)?)([A-Za-z]*)$/.exec(text ?? "") ?? [];
  const factor = SUFFIXES[suffix];
  return number === "" || factor === undefined ? undefined : Number(number) * factor;
}
