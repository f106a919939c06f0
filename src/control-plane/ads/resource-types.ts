export const TYPE_PREFIX = "type.googleapis.com/";

/** The lists that a document may have: the message of their items and the field that names an item. */
export const RESOURCE_LISTS = {
  clusters: { typeName: "envoy.config.cluster.v3.Cluster", nameField: "name" },
  endpoints: { typeName: "envoy.config.endpoint.v3.ClusterLoadAssignment", nameField: "cluster_name" },
  listeners: { typeName: "envoy.config.listener.v3.Listener", nameField: "name" },
  routes: { typeName: "envoy.config.route.v3.RouteConfiguration", nameField: "name" },
  secrets: { typeName: "envoy.extensions.transport_sockets.tls.v3.Secret", nameField: "name" },
  extensions: { typeName: "envoy.config.core.v3.TypedExtensionConfig", nameField: "name" },
} as const;

export const CLUSTER_TYPE = `${TYPE_PREFIX}${RESOURCE_LISTS.clusters.typeName}`;
export const ENDPOINT_TYPE = `${TYPE_PREFIX}${RESOURCE_LISTS.endpoints.typeName}`;
export const LISTENER_TYPE = `${TYPE_PREFIX}${RESOURCE_LISTS.listeners.typeName}`;
export const ROUTE_TYPE = `${TYPE_PREFIX}${RESOURCE_LISTS.routes.typeName}`;
export const SECRET_TYPE = `${TYPE_PREFIX}${RESOURCE_LISTS.secrets.typeName}`;
export const EXTENSION_TYPE = `${TYPE_PREFIX}${RESOURCE_LISTS.extensions.typeName}`;
export const NAME_TABLE_TYPE = `${TYPE_PREFIX}istio.networking.nds.v1.NameTable`;
export const HEALTH_TYPE = `${TYPE_PREFIX}istio.v1.HealthInformation`;

/** What refers comes after what is referred to. Source: istio/istio pilot/pkg/xds/ads.go (PushOrder). */
const PUSH_ORDER = [CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE, SECRET_TYPE];

/** Type URLs in the order in which changes are sent. */
export function inPushOrder(typeUrls: Iterable<string>): string[] {
  const all = [...typeUrls];
  return [...PUSH_ORDER.filter((typeUrl) => all.includes(typeUrl)), ...all.filter((one) => !PUSH_ORDER.includes(one))];
}

/** Types that are asked for by name; an empty list of names means nothing, not everything. */
const NAMED_TYPES = new Set([ENDPOINT_TYPE, ROUTE_TYPE, SECRET_TYPE, EXTENSION_TYPE]);

export function isWildcardType(typeUrl: string): boolean {
  return !NAMED_TYPES.has(typeUrl);
}

/** Envoy waits for an answer, even an empty one; of Istio's own types we know just the name table. */
export function isAnswered(typeUrl: string): boolean {
  return typeUrl.startsWith(`${TYPE_PREFIX}envoy.`) || typeUrl === NAME_TABLE_TYPE;
}
