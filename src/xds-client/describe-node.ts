import { create, fromJson, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { type Node, NodeSchema } from "../proto/gen/envoy/config/core/v3/base_pb.ts";

/** What is known of a node that nobody has described. */
export interface NodeWords {
  /** Default: one of four parts in this namespace, as Istio wants it. */
  readonly id: string | undefined;
  readonly namespace: string;
  /** Undefined leaves it to the identity. */
  readonly serviceAccount: string | undefined;
  readonly clusterId: string;
}

/** A node that istiod takes for a sidecar of that namespace. Source: istio/istio pilot/pkg/model/context.go (ParseServiceNode). */
export function describeNode({ id, namespace, serviceAccount, clusterId }: NodeWords): Node {
  const metadata: JsonObject = {
    NAMESPACE: namespace,
    CLUSTER_ID: clusterId,
    ...(serviceAccount === undefined ? {} : { SERVICE_ACCOUNT: serviceAccount }),
  };
  const made = `sidecar~127.0.0.1~pilotboat-xds.${namespace}~${namespace}.svc.cluster.local`;
  return create(NodeSchema, { id: id ?? made, cluster: `pilotboat-xds.${namespace}`, metadata });
}

/** As it stands in a bootstrap of Envoy. Throws for what is no node. */
export function nodeFromJson(json: JsonValue): Node {
  return fromJson(NodeSchema, json, { ignoreUnknownFields: true });
}
