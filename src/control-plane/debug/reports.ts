import type { JsonObject } from "@bufbuild/protobuf";
import { hideMetadataSecrets } from "../../istio/index.ts";
import type { NameTable } from "../../proto/gen/istio/networking/nds/v1/nds_pb.ts";
import type { Connection } from "../ads/discovery-service.ts";
import { CLUSTER_TYPE, ENDPOINT_TYPE, EXTENSION_TYPE, LISTENER_TYPE, ROUTE_TYPE } from "../ads/resource-types.ts";
import type { WatchReport } from "../ads/stream-port.ts";

// Documents in istiod's form. What is empty is left out where istiod leaves it out. Source: istio/istio pilot/pkg/xds/debug.go.

/** `/debug/connections`, and in detail `/debug/adsz`. */
export function connectionList(
  connections: readonly Connection[],
  { isDetailed }: { readonly isDetailed: boolean },
): JsonObject {
  const clients = connections.map((one) => ({
    connectionId: one.id,
    connectedAt: timeOf(one.connectedMs),
    address: one.peer,
    ...(isDetailed ? details(one) : {}),
  }));
  return { totalClients: clients.length, ...(clients.length === 0 ? {} : { clients }) };
}

function details({ node, watches }: Connection): JsonObject {
  const { region, zone, subZone } = node.locality ?? {};
  const locality = Object.entries({ region, zone, sub_zone: subZone }).filter(
    ([, value]) => value !== undefined && value !== "",
  );
  const labels = node.metadata?.LABELS;
  return {
    ...(labels === undefined ? {} : { labels }),
    metadata: hideMetadataSecrets(node.metadata ?? {}) as JsonObject,
    locality: Object.fromEntries(locality) as JsonObject,
    watches: Object.fromEntries(watches.map(({ typeUrl, names }) => [typeUrl, [...names]])),
  };
}

/** `/debug/syncz`. */
export function syncStates(connections: readonly Connection[]): JsonObject[] {
  return connections.map(({ node, watches }) => {
    const [type = "", , id = ""] = node.id.split("~");
    const short = SYNC_FIELDS.flatMap(([field, typeUrl]) => {
      const watch = watches.find((one) => one.typeUrl === typeUrl);
      return watch === undefined ? [] : [nonEmpty({ [`${field}_sent`]: watch.sent, [`${field}_acked`]: watch.acked })];
    });
    return {
      ...nonEmpty({ cluster_id: textIn(node.metadata, "CLUSTER_ID"), proxy: id, proxy_type: type }),
      ...nonEmpty({ istio_version: textIn(node.metadata, "ISTIO_VERSION") }),
      ...Object.assign({}, ...short),
      resources: Object.fromEntries(watches.map((watch) => [watch.typeUrl, stateOf(watch)])),
    };
  });
}

const SYNC_FIELDS = [
  ["cluster", CLUSTER_TYPE],
  ["listener", LISTENER_TYPE],
  ["route", ROUTE_TYPE],
  ["endpoint", ENDPOINT_TYPE],
  ["extensionconfig", EXTENSION_TYPE],
] as const;

function stateOf({ sent, acked, sentMs, lastError }: WatchReport): JsonObject {
  return nonEmpty({ sent, acked, sentTime: sentMs === 0 ? "" : timeOf(sentMs), lastError });
}

/** The same of one proxy as an envoy.service.status.v3.ClientConfig, which `istioctl proxy-status` reads. Source: istio/istio pilot/pkg/xds/statusgen.go. */
export function clientConfig({ node, watches }: Connection): JsonObject {
  return {
    node: { id: node.id.split("~")[2] ?? node.id, metadata: hideMetadataSecrets(node.metadata ?? {}) as JsonObject },
    genericXdsConfigs: watches.map(({ typeUrl, sent, acked, sentMs, lastError }) => ({
      typeUrl,
      ...(lastError === "" ? {} : { errorState: { details: lastError } }),
      ...(sentMs === 0 ? {} : { lastUpdated: timeOf(sentMs) }),
      configStatus: lastError !== "" ? "ERROR" : sent === "" ? "NOT_SENT" : sent === acked ? "SYNCED" : "STALE",
    })),
  };
}

/** `/debug/registryz`: there are no services here, only names, so that is what is known of each. */
export function registry(table: NameTable["table"]): JsonObject[] {
  return Object.entries(table)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([hostname, { ips, registry: from, shortname, namespace }]) => ({
      Attributes: {
        ServiceRegistry: from,
        Name: shortname,
        Namespace: namespace,
        Labels: null,
        ExportTo: null,
        LabelSelectors: null,
      },
      ports: [],
      hostname,
      clusterVIPs: { Addresses: null },
      ...nonEmpty({ defaultAddress: ips[0] ?? "" }),
      Resolution: 0,
      MeshExternal: from === "External",
    }));
}

function nonEmpty(fields: Readonly<Record<string, string>>): JsonObject {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ""));
}

function textIn(metadata: JsonObject | undefined, name: string): string {
  const value = metadata?.[name];
  return typeof value === "string" ? value : "";
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
