import { AgentError } from "../../base/index.ts";
import type { Cluster, KubeObject, KubeResource } from "../../kubernetes/index.ts";
import { apiListeners, type GatewayListener, istioListeners } from "./gateway-listeners.ts";
import { isReady, type Pod, podOf } from "./pod.ts";

/** A gateway as the cluster has it, and who runs it there. */
export interface FoundGateway {
  readonly kind: "Istio Gateway" | "Gateway API";
  readonly listeners: readonly GatewayListener[];
  /** A pod of it; what a pod of it would be, where there is none. */
  readonly pod: Pod;
  /** For people: `as pod "x"`. */
  readonly from: string;
  /** The port of the pod behind a port of the gateway's Service. */
  readonly podPortOf: (port: number) => number;
  /** What the hosts of its listeners are missing, for people. */
  readonly notes: readonly string[];
}

export interface GatewayChoice {
  readonly cluster: Cluster;
  readonly namespace: string;
  readonly name: string;
  readonly istioNamespace: string;
  /** Default: that of its pods. */
  readonly serviceAccount: string | undefined;
}

const ISTIO = { apiVersion: "networking.istio.io/v1", resource: "gateways" };
const API = { apiVersion: "gateway.networking.k8s.io/v1", resource: "gateways" };

/** An Istio Gateway, or else one of the Gateway API. Rejects with KUBE_NOT_FOUND, or with what the cluster rejects with. */
export async function findGateway(choice: GatewayChoice, signal: AbortSignal): Promise<FoundGateway> {
  const { cluster, namespace, name } = choice;
  const istio = await cluster.get({ ...ISTIO, namespace, name }, signal).catch((error: unknown) => error);
  if (!(istio instanceof Error)) return istioGateway(istio as KubeObject, choice, signal);
  if (!isAbsent(istio)) throw istio;
  const api = await cluster.get({ ...API, namespace, name }, signal).catch((error: unknown) => {
    throw isAbsent(error) ? istio : error; // it names what is alike
  });
  return apiGateway(api, choice, signal);
}

async function istioGateway(gateway: KubeObject, choice: GatewayChoice, signal: AbortSignal): Promise<FoundGateway> {
  const { namespace, istioNamespace } = choice;
  const { selector = {} } = (gateway.spec ?? {}) as { readonly selector?: Readonly<Record<string, string>> };
  const places = [...new Set([namespace, istioNamespace]), undefined];
  const what = { apiVersion: ISTIO.apiVersion, resource: "virtualservices" };
  const [found, { routes, notes }] = await Promise.all([
    whoRuns(choice, selector, places, signal),
    routesTo({ ...choice, what, name: "VirtualServices" }, signal),
  ]);
  const listeners = istioListeners(gateway, routes, found.pod.metadata?.namespace);
  return { kind: "Istio Gateway", listeners, notes, ...found };
}

async function apiGateway(gateway: KubeObject, choice: GatewayChoice, signal: AbortSignal): Promise<FoundGateway> {
  const { namespace, name } = choice;
  const { gatewayClassName = "istio" } = (gateway.spec ?? {}) as { readonly gatewayClassName?: string };
  const labels = { "gateway.networking.k8s.io/gateway-name": name };
  const what = { apiVersion: API.apiVersion, resource: "httproutes" };
  const [found, { routes, notes }] = await Promise.all([
    whoRuns({ ...choice, usualAccount: `${name}-${gatewayClassName}` }, labels, [namespace], signal),
    routesTo({ ...choice, what, name: "HTTPRoutes" }, signal),
  ]);
  return { kind: "Gateway API", listeners: apiListeners(gateway, routes), notes, ...found };
}

interface RouteSource extends Pick<GatewayChoice, "cluster" | "namespace" | "name"> {
  readonly what: KubeResource;
}

/** All of the cluster, those of the namespace where only they may be listed, or none; the notes say which. */
async function routesTo({ cluster, namespace, what, name: kind }: RouteSource, signal: AbortSignal) {
  let isHidden = false;
  const hide = (): void => {
    isHidden = true;
  };
  const all = await readable(cluster.list(what, {}, signal), hide);
  if (!isHidden) return { routes: all, notes: [] };
  isHidden = false;
  const own = await readable(cluster.list({ ...what, namespace }, {}, signal), hide);
  const note = isHidden
    ? `you may not list ${kind}: lines for their hosts are missing`
    : `you may not list ${kind} of all namespaces: lines for hosts of those outside of "${namespace}" are missing`;
  return { routes: own, notes: [note] };
}

type Labels = Readonly<Record<string, string>>;
type WhoRuns = Pick<FoundGateway, "pod" | "from" | "podPortOf">;

async function whoRuns(
  choice: GatewayChoice & { readonly usualAccount?: string },
  labels: Labels,
  places: readonly (string | undefined)[],
  signal: AbortSignal,
): Promise<WhoRuns> {
  const { cluster, namespace, name, usualAccount = "default", serviceAccount = usualAccount } = choice;
  const labelSelector = Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(",");
  let hidden: AgentError | undefined;
  const visible = (asked: Promise<readonly KubeObject[]>): Promise<readonly KubeObject[]> =>
    readable(asked, (error) => {
      hidden ??= error;
    });
  for (const place of labelSelector === "" ? [] : places) {
    const listed = await visible(cluster.list({ resource: "pods", namespace: place }, { labelSelector }, signal));
    const pods = listed.map(podOf).sort((a, b) => ((a.metadata?.name ?? "") < (b.metadata?.name ?? "") ? -1 : 1));
    const pod = pods.find(isReady) ?? pods[0];
    if (pod !== undefined)
      return { pod, from: `as pod "${pod.metadata?.name}"`, ...(await portsOf(cluster, pod, signal)) };
  }
  for (const place of labelSelector === "" ? [] : places) {
    const what = { apiVersion: "apps/v1", resource: "deployments", namespace: place };
    const deployments = await visible(cluster.list(what, {}, signal));
    const pod = deployments.map(podOfTemplate).find(({ metadata }) => hasLabels(metadata?.labels, labels));
    if (pod !== undefined)
      return {
        pod,
        from: `as a pod of its Deployment, "${pod.metadata?.name}"`,
        ...(await portsOf(cluster, pod, signal)),
      };
  }
  if (hidden !== undefined && choice.serviceAccount === undefined) throw unseen(name, hidden);
  const spec = { serviceAccountName: serviceAccount };
  const pod: Pod = { metadata: { name: `${name}-pilotboat`, namespace, labels }, spec };
  return { pod, from: "no pod of it runs", ...(await portsOf(cluster, pod, signal)) };
}

interface ServiceSpec {
  readonly selector?: Labels;
  readonly ports?: readonly { readonly port: number; readonly targetPort?: number | string }[];
}

async function portsOf(
  cluster: Cluster,
  { metadata, spec }: Pod,
  signal: AbortSignal,
): Promise<Pick<FoundGateway, "podPortOf">> {
  const services = await readable(cluster.list({ resource: "services", namespace: metadata?.namespace }, {}, signal));
  const ports = services.flatMap((service) => {
    const { selector = {}, ports: all = [] } = (service.spec ?? {}) as ServiceSpec;
    return Object.keys(selector).length > 0 && hasLabels(metadata?.labels, selector) ? all : [];
  });
  const named = (spec?.containers ?? []).flatMap((one) => one.ports ?? []);
  return {
    podPortOf(port) {
      const target = ports.find((one) => one.port === port)?.targetPort;
      if (typeof target === "string") return named.find((one) => one.name === target)?.containerPort ?? port;
      return target ?? port;
    },
  };
}

/** A pod as a Deployment would make it. */
function podOfTemplate({ metadata, spec }: KubeObject): Pod {
  const { template = {} } = (spec ?? {}) as { readonly template?: Pod };
  const { name = "", namespace = "default" } = metadata ?? {};
  return { metadata: { ...template.metadata, name: `${name}-pilotboat`, namespace }, spec: template.spec ?? {} };
}

function hasLabels(found: Labels = {}, wanted: Labels): boolean {
  return Object.entries(wanted).every(([key, value]) => found[key] === value);
}

/** Whoever may not see its pods would be another account than theirs, without a word. */
function unseen(name: string, cause: AgentError): AgentError {
  const text = `Cannot tell the service account of gateway "${name}": its pods may be where you may not look: ${cause.message}`;
  return new AgentError("KUBE_FORBIDDEN", text, { cause, hint: "Name the account with --service-account" });
}

/** Nothing where it may not be read, or the kind is not there. */
async function readable(
  asked: Promise<readonly KubeObject[]>,
  onForbidden: (error: AgentError) => void = () => undefined,
): Promise<readonly KubeObject[]> {
  return asked.catch((error: unknown) => {
    const isForbidden = error instanceof AgentError && error.code === "KUBE_FORBIDDEN";
    if (isForbidden) onForbidden(error);
    if (isForbidden || isAbsent(error)) return [];
    throw error;
  });
}

function isAbsent(error: unknown): boolean {
  return error instanceof AgentError && error.code === "KUBE_NOT_FOUND";
}
