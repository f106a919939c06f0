import type { JsonObject } from "@bufbuild/protobuf";
import type { EnvoyTypes } from "../../proto/envoy-types.ts";
import { NameTableSchema } from "../../proto/gen/istio/networking/nds/v1/nds_pb.ts";
import { anyJson } from "../../proto/message-json.ts";
import type { Connection, DiscoveryService } from "../ads/discovery-service.ts";
import {
  CLUSTER_TYPE,
  ENDPOINT_TYPE,
  EXTENSION_TYPE,
  LISTENER_TYPE,
  NAME_TABLE_TYPE,
  ROUTE_TYPE,
  SECRET_TYPE,
  TYPE_PREFIX,
} from "../ads/resource-types.ts";
import type { Resource } from "../ads/snapshot.ts";

/** `/debug/config_dump` and what is like it. Source: istio/istio pilot/pkg/xds/debug.go (connectionConfigDump). */
export interface Dumps {
  /** In the form of Envoy's own dump. */
  whole(connection: Connection, hasEndpoints: boolean): JsonObject;
  /** Resources of these types (`CDS`, or a type URL), as far as the proxy watches them. */
  ofTypes(connection: Connection, types: readonly string[]): JsonObject;
}

const SHORT_NAMES: Readonly<Record<string, string>> = {
  CDS: CLUSTER_TYPE,
  LDS: LISTENER_TYPE,
  RDS: ROUTE_TYPE,
  EDS: ENDPOINT_TYPE,
  SDS: SECRET_TYPE,
  NDS: NAME_TABLE_TYPE,
  ECDS: EXTENSION_TYPE,
};

/** As istiod has it there. */
const REDACTED = "[redacted]";

export function createDumps(discovery: Pick<DiscoveryService, "snapshot">, types: EnvoyTypes): Dumps {
  const find = (typeName: string) => (typeName === NameTableSchema.typeName ? NameTableSchema : types.find(typeName));
  const json = ({ any }: Resource): JsonObject => anyJson(any, { find, hidden: REDACTED });
  /** What the proxy has asked for. */
  const watched = ({ node, watches }: Connection, typeUrl: string): JsonObject[] => {
    const watch = watches.find((one) => one.typeUrl === typeUrl);
    if (watch === undefined) return [];
    const all = discovery.snapshot().resourcesFor(node, typeUrl);
    const names = new Set(watch.names);
    return [...all.values()].filter(({ name }) => names.size === 0 || names.has(name) || name === "").map(json);
  };
  return {
    whole: (connection, hasEndpoints) => ({
      configs: dumpParts((typeUrl) => watched(connection, typeUrl), discovery.snapshot().version, hasEndpoints),
    }),
    ofTypes(connection, wanted) {
      const configs = wanted.flatMap((type) => watched(connection, SHORT_NAMES[type.toUpperCase()] ?? type));
      return configs.length === 0 ? {} : { configs };
    },
  };
}

/** In istiod's order, with those that are always empty. */
function dumpParts(
  resources: (typeUrl: string) => JsonObject[],
  versionInfo: string,
  hasEndpoints: boolean,
): JsonObject[] {
  const items = (typeUrl: string, item: (resource: JsonObject) => JsonObject) => resources(typeUrl).map(item);
  const part = (name: string, fields: Readonly<Record<string, JsonObject[] | string>> = {}): JsonObject => ({
    "@type": `${TYPE_PREFIX}envoy.admin.v3.${name}`,
    ...Object.fromEntries(Object.entries(fields).filter(([, value]) => value.length > 0)),
  });
  const dynamicActiveClusters = items(CLUSTER_TYPE, (cluster) => ({ cluster }));
  const dynamicListeners = items(LISTENER_TYPE, (listener) => ({
    ...(typeof listener.name === "string" && { name: listener.name }),
    activeState: { versionInfo, listener },
  }));
  const endpoints = items(ENDPOINT_TYPE, (endpointConfig) => ({ versionInfo, endpointConfig }));
  return [
    part("BootstrapConfigDump"),
    part("ClustersConfigDump", { versionInfo, dynamicActiveClusters }),
    ...(hasEndpoints ? [part("EndpointsConfigDump", { dynamicEndpointConfigs: endpoints })] : []),
    part("ListenersConfigDump", { versionInfo, dynamicListeners }),
    part("ScopedRoutesConfigDump"),
    part("RoutesConfigDump", {
      dynamicRouteConfigs: items(ROUTE_TYPE, (routeConfig) => ({ versionInfo, routeConfig })),
    }),
    part("SecretsConfigDump", {
      dynamicActiveSecrets: items(SECRET_TYPE, (secret) => ({
        ...(typeof secret.name === "string" && { name: secret.name }),
        versionInfo,
        secret,
      })),
    }),
    part("EcdsConfigDump", {
      ecdsFilters: items(EXTENSION_TYPE, (ecdsFilter) => ({ versionInfo, ecdsFilter })),
    }),
  ];
}
