/** What a kubelet reads of a pod, as far as these tests have it. */
export interface PodSpec {
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes?: readonly VolumeSource[];
  readonly serviceAccountName?: string;
  readonly restartPolicy?: string;
  readonly terminationGracePeriodSeconds?: number;
  readonly securityContext?: { readonly sysctls?: readonly { readonly name: string; readonly value: string }[] };
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: readonly EnvVar[];
  readonly resources?: { readonly limits?: Readonly<Record<string, string>> };
  readonly restartPolicy?: string;
  readonly startupProbe?: Probe;
  readonly readinessProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly lifecycle?: { readonly postStart?: Handler; readonly preStop?: Handler };
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
  readonly securityContext?: {
    readonly runAsUser?: number;
    readonly runAsGroup?: number;
    readonly readOnlyRootFilesystem?: boolean;
    readonly capabilities?: { readonly add?: readonly string[]; readonly drop?: readonly string[] };
  };
}

export interface Handler {
  readonly httpGet?: { readonly path: string; readonly port: number };
  readonly exec?: { readonly command: readonly string[] };
}

export interface Probe extends Handler {
  readonly initialDelaySeconds?: number;
  readonly periodSeconds?: number;
  readonly timeoutSeconds?: number;
  readonly successThreshold?: number;
  readonly failureThreshold?: number;
}

interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: {
    readonly fieldRef?: { readonly fieldPath: string };
    readonly resourceFieldRef?: { readonly resource: string };
  };
}

interface VolumeSource {
  readonly name: string;
  readonly configMap?: { readonly name: string; readonly optional?: boolean };
  readonly downwardAPI?: { readonly items: readonly { readonly path: string; readonly fieldRef: FieldRef }[] };
  readonly projected?: { readonly sources: readonly { readonly serviceAccountToken?: { readonly path: string } }[] };
}

interface FieldRef {
  readonly fieldPath: string;
}

/** A pod with what the API server and the node add to it. */
export interface PodFacts {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: PodSpec;
  readonly address: string;
  readonly nodeAddress: string;
}

/** Of the node, where a container has no limit. */
const ALLOCATABLE: Readonly<Record<string, string>> = { cpu: "4", memory: "8Gi" };

/** The environment and the arguments of a container, with fields filled in and `$(NAME)` expanded. */
export function wordsOf(container: Container, pod: PodFacts) {
  const env: Record<string, string> = {};
  for (const { name, value, valueFrom } of container.env ?? []) {
    const { fieldRef, resourceFieldRef } = valueFrom ?? {};
    if (fieldRef !== undefined) env[name] = field(fieldRef.fieldPath, pod);
    else if (resourceFieldRef !== undefined) env[name] = limit(resourceFieldRef.resource, container);
    else env[name] = expand(value ?? "", env);
  }
  const all = (words: readonly string[] = []) => words.map((word) => expand(word, env));
  return { env, command: all(container.command), args: all(container.args) };
}

function expand(text: string, env: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\$\(([\w.-]+)\)/g, (whole, name: string) => env[name] ?? whole);
}

function field(path: string, pod: PodFacts): string {
  const known: Readonly<Record<string, string>> = {
    "metadata.name": pod.name,
    "metadata.namespace": pod.namespace,
    "spec.serviceAccountName": pod.spec.serviceAccountName ?? "default",
    "spec.nodeName": "node",
    "status.podIP": pod.address,
    "status.hostIP": pod.nodeAddress,
  };
  const label = /^metadata\.labels\['(.*)'\]$/.exec(path)?.[1];
  const found = label === undefined ? known[path] : (pod.labels[label] ?? "");
  if (found === undefined) throw new Error(`a field that these tests do not know: ${path}`);
  return found;
}

/** In whole units, rounded up: the divisor of the templates is 1. */
function limit(resource: string, { resources }: Container): string {
  const name = resource.replace("limits.", "");
  const [, number = "", unit = ""] = /^([\d.]+)(.*)$/.exec(resources?.limits?.[name] ?? ALLOCATABLE[name] ?? "") ?? [];
  const factor = { "": 1, m: 0.001, Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30 }[unit];
  if (factor === undefined) throw new Error(`a unit that these tests do not know: ${unit}`);
  return String(Math.ceil(Number(number) * factor));
}

/** What stands in a volume; undefined for an emptyDir. */
export function filesOf(
  volume: VolumeSource,
  pod: PodFacts,
  objects: { readonly configMaps: Readonly<Record<string, Readonly<Record<string, string>>>>; readonly token: string },
): Readonly<Record<string, string>> | undefined {
  const { configMap, downwardAPI, projected } = volume;
  if (configMap !== undefined) {
    const found = objects.configMaps[configMap.name] ?? (configMap.optional ? {} : undefined);
    if (found === undefined) throw new Error(`no ConfigMap ${configMap.name}`);
    return found;
  }
  if (downwardAPI !== undefined) {
    return Object.fromEntries(
      downwardAPI.items.map(({ path, fieldRef }) => [
        path,
        lines(fieldRef.fieldPath === "metadata.labels" ? pod.labels : pod.annotations),
      ]),
    );
  }
  const tokens = projected?.sources.flatMap(({ serviceAccountToken }) => serviceAccountToken ?? []);
  return tokens && Object.fromEntries(tokens.map(({ path }) => [path, objects.token]));
}

function lines(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .sort()
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join("\n");
}
