import { AgentError } from "../../base/index.ts";
import type { ConfigDefaults } from "../../config/index.ts";
import { type CloneChange, INTERCEPTION_FIELDS, redirectionChanges, unknownChanges } from "./clone-changes.ts";
import { type ContainerEnv, expandReferences } from "./container-env.ts";
import type { MeshFacts } from "./mesh-facts.ts";
import { type Pod, proxyContainerOf } from "./pod.ts";
import { REGISTERS, type WhyNot, whyNotAnnotation, whyNotField, whyNotVariable } from "./pod-only.ts";
import type { Unread } from "./unreadable.ts";
import { workloadOwnerOf } from "./workload-owner.ts";

type Texts = Readonly<Record<string, string>>;
type Fields = Readonly<Record<string, unknown>>;

/** What is known of the pod and its mesh, read from the cluster. */
export interface CloneFacts {
  readonly pod: Pod;
  /** Of its proxy; undefined for a pod without one. */
  readonly env: ContainerEnv | undefined;
  /** Of `PROXY_CONFIG`, or for a pod without a proxy of its annotation `proxy.istio.io/config`. */
  readonly proxyConfig: Fields;
  /** Of istiod, where something says it. */
  readonly revision: string | undefined;
  readonly mesh: MeshFacts;
  /** What it would have been read from. */
  readonly unread: readonly Unread[];
}

/** What istiod is going to see. */
export interface Presented {
  readonly id: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly labels: Texts;
  readonly cluster: string;
  readonly network: string;
  readonly revision: string | undefined;
  readonly trustDomain: string;
  readonly workload: string;
}

/** Everything that a proxy on this machine takes over from a pod. */
export interface ClonePlan {
  readonly presents: Presented;
  readonly changes: readonly CloneChange[];
  readonly role: "sidecar" | "router";
  readonly pod: { readonly name: string; readonly uid: string };
  /** DNS domain of the node id. */
  readonly domain: string;
  readonly annotations: Texts;
  /** On which the pod's own containers listen. */
  readonly appPorts: ReadonlySet<number>;
  /** Laid over each other, the last one on top. */
  readonly defaults: readonly ConfigDefaults[];
}

export interface CloneOptions {
  /** Whether a proxy that would register an endpoint may do so. */
  readonly mayRegister: boolean;
  /** The flag by which somebody says so, for the hint. Default: there is none. */
  readonly registerFlag?: string;
  /** Default: what its proxy is. */
  readonly role?: ClonePlan["role"];
}

/** Pure. Throws USAGE for a pod whose proxy registers an endpoint, unless that is wanted. */
export function planClone(facts: CloneFacts, { mayRegister, registerFlag, role: wanted }: CloneOptions): ClonePlan {
  const { pod, mesh } = facts;
  const { name = "", namespace = "default", uid = "", labels = {}, annotations = {} } = pod.metadata ?? {};
  const told = new Map([...toldByMesh(pod, mesh), ...(facts.env?.values ?? [])]);
  const dropped = new Map<WhyNot, string[]>();
  const drop = (why: WhyNot, what: string): void => void dropped.set(why, [...(dropped.get(why) ?? []), what]);
  const meshConfig = facts.env === undefined ? mesh.proxyConfig : {};
  const variables = keptVariables(told, drop);
  const fields = [meshConfig, facts.proxyConfig].map((config) => keptFields(config, drop));
  const kept = keptAnnotations(annotations, drop);
  if (!mayRegister) refuseRegistration([told, ...fields.map(metadataOf)], name, registerFlag);
  const { role: own, domain } = wordsOf(pod, told, namespace, mesh.domain);
  const role = wanted ?? own;
  const serviceAccount = pod.spec?.serviceAccountName ?? "default";
  const address = variables.INSTANCE_IP ?? pod.status?.podIP ?? "127.0.0.1";
  const identity = {
    POD_NAME: name,
    POD_NAMESPACE: namespace,
    SERVICE_ACCOUNT: serviceAccount,
    INSTANCE_IP: address,
    ...(role === "sidecar" && { ISTIO_META_INTERCEPTION_MODE: "NONE" }),
  };
  const all: Texts = { ...variables, ...identity };
  const source = `pod "${name}"`;
  return {
    presents: {
      id: `${role}~${address}~${name}.${namespace}~${domain}`,
      namespace,
      serviceAccount,
      labels: withoutHash(labels),
      cluster: all.ISTIO_META_CLUSTER_ID ?? "Kubernetes",
      network: all.ISTIO_META_NETWORK ?? labels["topology.istio.io/network"] ?? "",
      revision: facts.revision,
      trustDomain: all.TRUST_DOMAIN || mesh.trustDomain,
      workload: all.ISTIO_META_WORKLOAD_NAME ?? "",
    },
    changes: [
      ...redirectionChanges(role, told, [meshConfig, facts.proxyConfig]),
      ...[...dropped].map(([why, names]) => ({ names: [...new Set(names)], why })),
      ...unknownChanges(facts),
    ],
    role,
    pod: { name, uid },
    domain,
    appPorts: appPortsOf(pod),
    annotations: kept,
    defaults: [
      { source: "the mesh", proxyConfig: fields[0] ?? {} },
      { source, variables: all, proxyConfig: fields[1] ?? {} },
    ],
  };
}

/** What the injector would tell. Source: istio/istio injection template of the sidecar. */
function toldByMesh(pod: Pod, mesh: MeshFacts): ReadonlyMap<string, string> {
  const { name, reference } = workloadOwnerOf(pod);
  const { labels = {} } = pod.metadata ?? {};
  const containers = (pod.spec?.containers ?? []).filter((one) => one.name !== "istio-proxy");
  const network = labels["topology.istio.io/network"] ?? mesh.network;
  return new Map(
    Object.entries({
      ISTIO_META_CLUSTER_ID: mesh.clusterId,
      ISTIO_META_MESH_ID: mesh.meshId,
      TRUST_DOMAIN: mesh.trustDomain,
      ISTIO_META_POD_PORTS: JSON.stringify(containers.flatMap(({ ports = [] }) => ports)),
      ISTIO_META_APP_CONTAINERS: containers.map((one) => one.name).join(","),
      ISTIO_META_WORKLOAD_NAME: name,
      ISTIO_META_OWNER: reference,
      ...(network === "" ? {} : { ISTIO_META_NETWORK: network }),
      ...(pod.spec?.nodeName === undefined ? {} : { ISTIO_META_NODE_NAME: pod.spec.nodeName }),
      ...(pod.status?.hostIP === undefined ? {} : { HOST_IP: pod.status.hostIP }),
    }),
  );
}

function appPortsOf({ spec = {} }: Pod): ReadonlySet<number> {
  const containers = (spec.containers ?? []).filter(({ name }) => name !== "istio-proxy");
  return new Set(containers.flatMap(({ ports = [] }) => ports.map(({ containerPort }) => containerPort)));
}

type Drop = (why: WhyNot, what: string) => void;

function keptVariables(told: ReadonlyMap<string, string>, drop: Drop): Texts {
  const kept: Record<string, string> = {};
  for (const [name, value] of told) {
    const why = whyNotVariable(name, value);
    if (why !== undefined) drop(why, name);
    else if (name !== "PROXY_CONFIG") kept[name] = value;
  }
  return kept;
}

/** Entries of `proxyMetadata` are variables. */
function keptFields(config: Fields, drop: Drop): Fields {
  const kept: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(config)) {
    const why = whyNotField(name);
    if (why !== undefined) drop(why, name);
    else if (name === "proxyMetadata" || name === "proxy_metadata")
      kept.proxyMetadata = keptVariables(textsOf(value), drop);
    else if (!INTERCEPTION_FIELDS.includes(name)) kept[name] = value;
  }
  return kept;
}

function keptAnnotations(annotations: Texts, drop: Drop): Texts {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(annotations)) {
    const why = whyNotAnnotation(name);
    if (why === undefined) kept[name] = value;
    else drop(why, `annotation ${name}`);
  }
  return kept;
}

function textsOf(value: unknown): ReadonlyMap<string, string> {
  const entries = typeof value === "object" && value !== null ? Object.entries(value) : [];
  return new Map(entries.map(([name, text]) => [name, String(text)]));
}

function metadataOf({ proxyMetadata }: Fields): ReadonlyMap<string, string> {
  return textsOf(proxyMetadata);
}

function refuseRegistration(said: readonly ReadonlyMap<string, string>[], pod: string, flag?: string): void {
  const group = said.map((one) => one.get(REGISTERS)).find((value) => value !== undefined && value !== "");
  if (group === undefined) return;
  const text = `Cannot clone pod "${pod}": its proxy registers as an endpoint of WorkloadGroup "${group}", and so would the clone`;
  const wanted = flag === undefined ? "" : `; if you want that, add ${flag}`;
  throw new AgentError("USAGE", text, { hint: `Requests of others would reach this machine${wanted}` });
}

/** The words after `proxy`. */
function wordsOf(pod: Pod, told: ReadonlyMap<string, string>, namespace: string, clusterDomain: string) {
  const values = new Map([["POD_NAMESPACE", namespace], ...told]);
  const args = (proxyContainerOf(pod)?.args ?? []).map((one) => expandReferences(one, values));
  const at = args.indexOf("--domain");
  const domain = at >= 0 ? args[at + 1] : args.find((one) => one.startsWith("--domain="))?.slice("--domain=".length);
  const role: ClonePlan["role"] = args.includes("router") ? "router" : "sidecar";
  return { role, domain: domain ?? `${namespace}.svc.${clusterDomain}` };
}

/** istiod does not see it of a pod either. */
function withoutHash(labels: Texts): Texts {
  return without(labels, ["pod-template-hash"]);
}

function without(texts: Texts, names: readonly string[]): Texts {
  return Object.fromEntries(Object.entries(texts).filter(([name]) => !names.includes(name)));
}
