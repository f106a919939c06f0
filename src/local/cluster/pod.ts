import type { KubeObject } from "../../kubernetes/index.ts";

type Texts = Readonly<Record<string, string>>;

/** What is read of a pod. Source: Kubernetes API, core/v1 Pod. */
export interface Pod {
  readonly metadata?: {
    readonly name?: string;
    readonly generateName?: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly labels?: Texts;
    readonly annotations?: Texts;
    readonly creationTimestamp?: string;
    readonly deletionTimestamp?: string;
    readonly ownerReferences?: readonly OwnerReference[];
  };
  readonly spec?: {
    readonly serviceAccountName?: string;
    readonly nodeName?: string;
    readonly hostNetwork?: boolean;
    readonly containers?: readonly Container[];
    readonly initContainers?: readonly Container[];
  };
  readonly status?: PodStatus;
}

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly controller?: boolean;
}

export interface Container {
  readonly name: string;
  readonly args?: readonly string[];
  readonly env?: readonly EnvEntry[];
  readonly envFrom?: readonly EnvSource[];
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[];
  readonly resources?: { readonly limits?: Texts; readonly requests?: Texts };
  readonly restartPolicy?: string;
}

export interface EnvEntry {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: {
    readonly fieldRef?: { readonly fieldPath: string };
    readonly resourceFieldRef?: {
      readonly containerName?: string;
      readonly resource: string;
      readonly divisor?: string;
    };
    readonly configMapKeyRef?: { readonly name?: string; readonly key: string };
    readonly secretKeyRef?: { readonly name?: string; readonly key: string };
  };
}

export interface EnvSource {
  readonly prefix?: string;
  readonly configMapRef?: { readonly name?: string };
  readonly secretRef?: { readonly name?: string };
}

interface PodStatus {
  readonly phase?: string;
  readonly hostIP?: string;
  readonly hostIPs?: readonly { readonly ip: string }[];
  readonly podIP?: string;
  readonly podIPs?: readonly { readonly ip: string }[];
  readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  readonly containerStatuses?: readonly { readonly state?: { readonly waiting?: { readonly reason?: string } } }[];
}

/** Of an object that the API server has as a pod. */
export function podOf(object: KubeObject): Pod {
  return object as unknown as Pod;
}

export function isReady({ metadata, status = {} }: Pod): boolean {
  const isUp = (status.conditions ?? []).some((one) => one.type === "Ready" && one.status === "True");
  return status.phase === "Running" && isUp && metadata?.deletionTimestamp === undefined;
}

/** For people: `is Pending and not ready`. */
export function stateOf({ metadata, status = {} }: Pod): string {
  if (metadata?.deletionTimestamp !== undefined) return "is being deleted";
  const { phase = "Unknown", containerStatuses = [] } = status;
  const waiting = containerStatuses.map(({ state }) => state?.waiting?.reason).find((reason) => reason !== undefined);
  return waiting === undefined ? `is ${phase} and not ready` : `is ${phase} (${waiting})`;
}

/** The injected sidecar or the proxy of a gateway: a container, or since Istio 1.27 an init container that stays. */
export function proxyContainerOf({ spec = {} }: Pod): Container | undefined {
  const native = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always");
  return [...(spec.containers ?? []), ...native].find(({ name }) => name === "istio-proxy");
}
