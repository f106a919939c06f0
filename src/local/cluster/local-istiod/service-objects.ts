import { isIPv6 } from "node:net";
import type { KubeObject, KubeResource } from "../../../kubernetes/index.ts";

/** A Service of istiod. */
export interface ServicePlace {
  readonly namespace: string;
  readonly name: string;
}

/** Says on the Service that it leads to a machine, to which, and what its selector was. */
export const ANNOTATION = "pilotboat/local-istiod";
const SERVICE_NAME = "kubernetes.io/service-name";
const MANAGED_BY = "endpointslice.kubernetes.io/managed-by";
const DISCOVERY = "discovery.k8s.io/v1";

export type Selector = Readonly<Record<string, string>>;

export interface ServicePort {
  readonly name?: string;
  readonly port: number;
  readonly protocol?: string;
  readonly appProtocol?: string;
  readonly targetPort?: number | string;
}

interface ServiceSpec {
  readonly selector?: Selector;
  readonly ports?: readonly ServicePort[];
}

/** The value of the annotation. */
export interface Claim {
  readonly id: string;
  /** Name of the machine. */
  readonly host: string;
  readonly since: string;
  readonly selector?: Selector | undefined;
}

export function serviceOf({ namespace, name }: ServicePlace): KubeResource {
  return { resource: "services", namespace, name };
}

export function endpointsOf({ namespace, name }: ServicePlace): KubeResource {
  return { resource: "endpoints", namespace, name };
}

export function sliceOf({ namespace }: ServicePlace, name: string): KubeResource {
  return { apiVersion: DISCOVERY, resource: "endpointslices", namespace, name };
}

/** Where slices are listed and created, and which of them are the Service's. */
export function slicesOf({ namespace, name }: ServicePlace): {
  readonly what: KubeResource;
  readonly labelSelector: string;
} {
  return {
    what: { apiVersion: DISCOVERY, resource: "endpointslices", namespace },
    labelSelector: `${SERVICE_NAME}=${name}`,
  };
}

export function selectorOf(service: KubeObject): Selector | undefined {
  return (service.spec as ServiceSpec | undefined)?.selector;
}

export function portsOf(service: KubeObject): readonly ServicePort[] {
  return (service.spec as ServiceSpec | undefined)?.ports ?? [];
}

/** Undefined where nobody has led the Service to a machine. */
export function claimOf({ metadata }: KubeObject): Claim | undefined {
  const text = metadata?.annotations?.[ANNOTATION];
  if (text === undefined) return undefined;
  try {
    const { id = "", host = "", since = "", selector } = JSON.parse(text) as Partial<Claim>;
    return { id, host, since, selector };
  } catch {
    return { id: text, host: "a machine that does not say its name", since: "" };
  }
}

/** Takes the selector away; refused when somebody has changed the Service since it was read. */
export function claimPatch(service: KubeObject, claim: Claim): unknown {
  return {
    metadata: {
      resourceVersion: service.metadata?.resourceVersion,
      annotations: { [ANNOTATION]: JSON.stringify(claim) },
    },
    spec: { selector: null },
  };
}

/** A selector that somebody has set in the meantime is newer than the saved one, and stays. */
export function releasePatch(service: KubeObject, saved: KubeObject): unknown {
  const selector = selectorOf(service) ?? selectorOf(saved);
  return {
    metadata: { resourceVersion: service.metadata?.resourceVersion, annotations: { [ANNOTATION]: null } },
    ...(selector !== undefined && { spec: { selector } }),
  };
}

/** An EndpointSlice that leads the Service to `address`; it goes when the Service goes. */
export function sliceTo(
  address: string,
  ports: readonly { readonly service: ServicePort; readonly port: number }[],
  { service, name }: { readonly service: KubeObject; readonly name: string },
): unknown {
  const { name: of = "", namespace, uid } = service.metadata ?? {};
  return {
    apiVersion: DISCOVERY,
    kind: "EndpointSlice",
    metadata: {
      name,
      namespace,
      labels: { [SERVICE_NAME]: of, [MANAGED_BY]: "pilotboat" },
      ownerReferences: [{ apiVersion: "v1", kind: "Service", name: of, uid }],
    },
    addressType: isIPv6(address) ? "IPv6" : "IPv4",
    endpoints: [{ addresses: [address], conditions: { ready: true, serving: true, terminating: false } }],
    ports: ports.map(({ service: { name: portName = "", protocol = "TCP", appProtocol }, port }) => ({
      name: portName,
      protocol,
      port,
      ...(appProtocol !== undefined && { appProtocol }),
    })),
  };
}

/** Whether a controller wrote it, and so will write it again. */
export function isControlled({ metadata }: KubeObject): boolean {
  return metadata?.ownerReferences?.some(({ controller }) => controller === true) ?? false;
}

/** The object as somebody would create it: without what the API server adds. */
export function withoutServerFields(object: KubeObject): unknown {
  const { uid: _uid, resourceVersion: _version, ...metadata } = object.metadata ?? {};
  const added = ["creationTimestamp", "generation", "managedFields", "selfLink"];
  const kept = Object.entries(metadata).filter(([name]) => !added.includes(name));
  return { ...object, metadata: Object.fromEntries(kept) };
}
