import type { JsonObject, ProxyConfig } from "../istio/mesh/index.ts";
import type { RawMetadata, TypedMetadata } from "../istio/metadata/index.ts";
import type { AddressFamily } from "./family.ts";
import type { InterfaceAddress, IpMode } from "./ip.ts";
import type { Locality } from "./locality.ts";

/** What the configuration says of the node. */
export interface NodeOptions {
  readonly role: string;
  /** `--domain`; empty for `<namespace>.svc.cluster.local`. */
  readonly domain: string;
  readonly proxy: ProxyConfig;
  /** ISTIO_META_ and ISTIO_METAJSON_ variables under their full names. */
  readonly metadataEnv: readonly (readonly [name: string, value: string])[];
  /** Undefined where the variable is not set at all, which differs from empty. */
  readonly podName: string | undefined;
  readonly podNamespace: string | undefined;
  readonly serviceAccount: string | undefined;
  readonly instanceIp: string;
  /** `ISTIO_DUAL_STACK`. */
  readonly isDualStack: boolean;
  /** Envoy's own ports are for this machine alone. */
  readonly isLoopbackOnly: boolean;
  readonly dnsProxyAddress: string | undefined;
  readonly stsPort: number;
  readonly ports: {
    readonly status: number;
    readonly prometheus: number;
    readonly secureMetrics: number;
    readonly secureMergedMetrics: number;
  };
  readonly isExitOnZeroConnections: boolean;
  readonly peerMetadataDiscovery: boolean | undefined;
  readonly skipDeprecatedLogs: boolean;
  readonly workloadSocketFile: string;
  readonly outlierLogPath: string;
  /** `ISTIO_VERSION` unless ISTIO_META_ISTIO_VERSION says another. */
  readonly istioVersion: string;
  /** Where that comes from, for people. Default: it is the Istio that pilotboat behaves like. */
  readonly istioVersionOrigin?: string;
}

/** What the machine and the pod's files say. */
export interface NodeFacts {
  readonly interfaceAddresses: readonly InterfaceAddress[];
  /** From ./etc/istio/pod/labels and .../annotations; undefined when the file is absent or unreadable. */
  readonly podLabels: ReadonlyMap<string, string> | undefined;
  readonly podAnnotations: ReadonlyMap<string, string> | undefined;
  readonly platform: Platform;
  /** A healthy external credential socket, or an external workload SDS socket, is there. */
  readonly hasCredentialSocket: boolean;
  readonly hasExternalSds: boolean;
}

export interface Platform {
  readonly metadata: Readonly<Record<string, string>>;
  readonly locality: Locality;
  readonly isKubernetes: boolean;
  /** Labels of the instance; used only outside Kubernetes. */
  readonly labels: Readonly<Record<string, string>>;
}

export const UNKNOWN_PLATFORM: Platform = {
  metadata: {},
  locality: { region: "", zone: "", subZone: "" },
  isKubernetes: true,
  labels: {},
};

export interface NodeDescription {
  /** `<role>~<ip>~<pod>.<namespace>~<domain>`. */
  readonly id: string;
  readonly cluster: string;
  readonly locality: Locality;
  readonly addresses: readonly string[];
  readonly ipMode: IpMode;
  /** Where Envoy listens, and so where it is asked. */
  readonly family: AddressFamily;
  /** Typed fields in memory form. */
  readonly typed: TypedMetadata;
  readonly raw: RawMetadata;
  /** The JSON of `node.metadata`, keys sorted. */
  readonly metadata: JsonObject;
  /** The typed fields alone, for the gRPC bootstrap. */
  readonly typedMetadata: JsonObject;
  /** Where each key of `metadata` comes from. */
  readonly origins: ReadonlyMap<string, string>;
  readonly warnings: readonly string[];
}
