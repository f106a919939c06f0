import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Node } from "../proto/gen/envoy/config/core/v3/base_pb.ts";
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from "../proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { textOf } from "../proto/wire.ts";
import type { Response } from "./types.ts";

/** What is asked for of one type, and what the client has of it. */
export interface Asking {
  readonly typeUrl: string;
  readonly names: readonly string[];
  readonly versions: Readonly<Record<string, string>>;
}

/** One of the two forms of ADS. Source: Envoy docs "xDS REST and gRPC protocol". */
export interface Variant {
  readonly method: string;
  /** Of the message that `read` takes. */
  readonly responseName: string;
  /** Only the first request of a stream has the node. */
  subscribe(asking: Asking, node: Node | undefined): Uint8Array;
  /** The names changed. */
  change(asking: Asking, before: readonly string[], last: Response): Uint8Array;
  acknowledge(asking: Asking, response: Response): Uint8Array;
  read(bytes: Uint8Array): Response;
}

const SERVICE = "/envoy.service.discovery.v3.AggregatedDiscoveryService";

export const SOTW: Variant = {
  method: `${SERVICE}/StreamAggregatedResources`,
  responseName: "DiscoveryResponse",
  subscribe: ({ typeUrl, names }, node) =>
    toBinary(
      DiscoveryRequestSchema,
      create(DiscoveryRequestSchema, { typeUrl, resourceNames: [...names], ...given(node) }),
    ),
  change: (asking, _before, last) => SOTW.acknowledge(asking, last),
  acknowledge: ({ typeUrl, names }, { version, nonce }) =>
    toBinary(
      DiscoveryRequestSchema,
      create(DiscoveryRequestSchema, {
        typeUrl,
        resourceNames: [...names],
        versionInfo: version,
        responseNonce: nonce,
      }),
    ),
  read(bytes) {
    const { typeUrl, versionInfo: version, nonce, resources } = fromBinary(DiscoveryResponseSchema, bytes);
    const named = resources.map((any) => ({ name: nameOf(any), version, any }));
    return { typeUrl, version, nonce, resources: named, removed: [] };
  },
};

export const DELTA: Variant = {
  method: `${SERVICE}/DeltaAggregatedResources`,
  responseName: "DeltaDiscoveryResponse",
  subscribe: ({ typeUrl, names, versions }, node) =>
    toBinary(
      DeltaDiscoveryRequestSchema,
      create(DeltaDiscoveryRequestSchema, {
        typeUrl,
        resourceNamesSubscribe: [...names],
        initialResourceVersions: { ...versions },
        ...given(node),
      }),
    ),
  change({ typeUrl, names }, before) {
    const resourceNamesSubscribe = names.filter((name) => !before.includes(name));
    const resourceNamesUnsubscribe = before.filter((name) => !names.includes(name));
    const change = { typeUrl, resourceNamesSubscribe, resourceNamesUnsubscribe };
    return toBinary(DeltaDiscoveryRequestSchema, create(DeltaDiscoveryRequestSchema, change));
  },
  acknowledge: ({ typeUrl }, { nonce }) =>
    toBinary(DeltaDiscoveryRequestSchema, create(DeltaDiscoveryRequestSchema, { typeUrl, responseNonce: nonce })),
  read(bytes) {
    const response = fromBinary(DeltaDiscoveryResponseSchema, bytes);
    const { typeUrl, systemVersionInfo: version, nonce, removedResources: removed } = response;
    const resources = response.resources.flatMap(({ name, version: own, resource: any }) =>
      any === undefined ? [] : [{ name, version: own, any }],
    );
    return { typeUrl, version, nonce, resources, removed };
  },
};

function given(node: Node | undefined): { node?: Node } {
  return node === undefined ? {} : { node };
}

/** Whether a resource itself tells its name. Envoy's do, in the first field; Istio's own, such as a name table, do not. */
export function hasNames(typeUrl: string): boolean {
  return /\/envoy\.(config|extensions|service)\./.test(typeUrl);
}

function nameOf({ typeUrl, value }: { readonly typeUrl: string; readonly value: Uint8Array }): string {
  if (!hasNames(typeUrl)) return "";
  try {
    return textOf(value, 1);
  } catch {
    return ""; // shown as it is, without a name
  }
}
