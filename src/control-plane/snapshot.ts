import type { Node } from "../proto/gen/envoy/config/core/v3/base_pb.ts";
import type { EnvoyResource, NodeMatch, ResourceGroup } from "./resources.ts";

const PREFIX = "type.googleapis.com/envoy";
export const CLUSTER_TYPE = `${PREFIX}.config.cluster.v3.Cluster`;
export const ENDPOINT_TYPE = `${PREFIX}.config.endpoint.v3.ClusterLoadAssignment`;
export const LISTENER_TYPE = `${PREFIX}.config.listener.v3.Listener`;
export const ROUTE_TYPE = `${PREFIX}.config.route.v3.RouteConfiguration`;
export const SECRET_TYPE = `${PREFIX}.extensions.transport_sockets.tls.v3.Secret`;
export const EXTENSION_TYPE = `${PREFIX}.config.core.v3.TypedExtensionConfig`;

/** The order in which changes are sent, so that what refers comes after what is referred to. */
export const PUSH_ORDER = [CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE, SECRET_TYPE, EXTENSION_TYPE];

/** Types that are asked for by name; an empty list of names means nothing, not everything. */
const NAMED_TYPES = new Set([ENDPOINT_TYPE, ROUTE_TYPE, SECRET_TYPE, EXTENSION_TYPE]);

export function isWildcardType(typeUrl: string): boolean {
  return !NAMED_TYPES.has(typeUrl);
}

/** Everything that is served at one time. */
export interface Snapshot {
  /** `<time>/<number>`, new for each reload. */
  readonly version: string;
  /** What a node gets of one type, by name. */
  resourcesFor(node: Node, typeUrl: string): ReadonlyMap<string, EnvoyResource>;
}

export function createSnapshot(version: string, groups: readonly ResourceGroup[]): Snapshot {
  return {
    version,
    resourcesFor(node, typeUrl) {
      const fitting = groups.filter((group) => group.typeUrl === typeUrl && isFitting(group.match, node));
      return new Map(fitting.flatMap(({ resources }) => resources.map((resource) => [resource.name, resource])));
    },
  };
}

function isFitting(match: NodeMatch, node: Node): boolean {
  const [type] = node.id.split("~");
  const metadata = (node.metadata ?? {}) as Readonly<Record<string, unknown>>;
  const labels = (metadata.LABELS ?? {}) as Readonly<Record<string, unknown>>;
  return (
    (match.id === undefined || match.id === node.id) &&
    (match.type === undefined || match.type === type) &&
    (match.namespace === undefined || match.namespace === metadata.NAMESPACE) &&
    Object.entries(match.labels ?? {}).every(([name, value]) => labels[name] === value)
  );
}
