import { createHash } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import type { Node } from "../../proto/gen/envoy/config/core/v3/base_pb.ts";
import { type NameTable, NameTableSchema } from "../../proto/gen/istio/networking/nds/v1/nds_pb.ts";
import { ENDPOINT_TYPE, NAME_TABLE_TYPE, RESOURCE_LISTS, SECRET_TYPE, TYPE_PREFIX } from "./resource-types.ts";

/** One resource, ready to be sent. */
export interface Resource {
  /** Empty for the name table. */
  readonly name: string;
  readonly any: Any;
  /** Changes with the content. */
  readonly version: string;
}

/** Which nodes get a document's resources; an empty match is every node. */
export interface NodeMatch {
  readonly id?: string;
  /** First part of the node id: `sidecar`, `router`. */
  readonly type?: string;
  readonly namespace?: string;
  /** All of them must be equal to the node's `LABELS`. */
  readonly labels?: Readonly<Record<string, string>>;
}

/** One document: resources by type URL for the nodes that fit. */
export interface ResourceGroup {
  readonly match: NodeMatch;
  readonly byType: ReadonlyMap<string, readonly Resource[]>;
  readonly names: NameTable["table"];
  readonly listeners: readonly ListenerPlace[];
}

/** A listener and its TCP port. */
export interface ListenerPlace {
  readonly name: string;
  readonly port: number;
}

/** Everything that is served at one time. */
export interface Snapshot {
  /** `<time>/<number>`, new for each reload. */
  readonly version: string;
  /** What a node gets of one type, by name; where documents share a name, the last one counts. */
  resourcesFor(node: Node, typeUrl: string): ReadonlyMap<string, Resource>;
  /** The name table, for whichever node. */
  readonly names: NameTable["table"];
  /** Those with a TCP port, for whichever node. */
  readonly listeners: readonly ListenerPlace[];
  /** How many of each list there are, for whichever node; lists without any are left out. */
  readonly counts: ResourceCounts;
}

/** By the names of the lists in a document: `clusters`, `names`. */
export type ResourceCounts = Readonly<Record<string, number>>;

export function createSnapshot(version: string, groups: readonly ResourceGroup[]): Snapshot {
  return {
    version,
    names: namesIn(groups),
    listeners: groups.flatMap(({ listeners }) => listeners),
    counts: countResources(groups),
    resourcesFor(node, typeUrl) {
      const fitting = groups.filter((group) => isFitting(group.match, node));
      if (typeUrl === NAME_TABLE_TYPE) return new Map([["", nameTable(fitting)]]);
      const resources = fitting.flatMap(({ byType }) => byType.get(typeUrl) ?? []);
      return new Map(resources.map((resource) => [resource.name, resource]));
    },
  };
}

/** The same for callers whose identity nobody knows. */
export function withoutSecrets(snapshot: Snapshot): Snapshot {
  return {
    ...snapshot,
    resourcesFor: (node, typeUrl) => (typeUrl === SECRET_TYPE ? new Map() : snapshot.resourcesFor(node, typeUrl)),
  };
}

function countResources(groups: readonly ResourceGroup[]): ResourceCounts {
  const sum = (count: (group: ResourceGroup) => number): number => groups.reduce((all, one) => all + count(one), 0);
  const lists = Object.entries(RESOURCE_LISTS).map(([list, { typeName }]): [string, number] => [
    list,
    sum(({ byType }) => byType.get(`${TYPE_PREFIX}${typeName}`)?.length ?? 0),
  ]);
  const names = sum((group) => Object.keys(group.names).length);
  return Object.fromEntries([...lists, ["names", names] as const].filter(([, count]) => count > 0));
}

/** Packs a message's bytes; the version is made from them. */
export function toResource(name: string, typeUrl: string, value: Uint8Array): Resource {
  const version = createHash("sha256").update(value).digest("hex").slice(0, 12);
  return { name, any: create(AnySchema, { typeUrl, value }), version };
}

/**
 * The resources with these names. Endpoints that no file has are an empty assignment: without an answer Envoy
 * would wait for them.
 */
export function selectNamed(
  all: ReadonlyMap<string, Resource>,
  typeUrl: string,
  names: Iterable<string>,
): Map<string, Resource> {
  const selected = new Map<string, Resource>();
  for (const name of names) {
    const resource = all.get(name) ?? (typeUrl === ENDPOINT_TYPE ? noEndpoints(name) : undefined);
    if (resource !== undefined) selected.set(name, resource);
  }
  return selected;
}

function noEndpoints(clusterName: string): Resource {
  const value = new BinaryWriter().tag(1, WireType.LengthDelimited).string(clusterName).finish();
  return toResource(clusterName, ENDPOINT_TYPE, value);
}

function nameTable(groups: readonly ResourceGroup[]): Resource {
  const table = namesIn(groups);
  return toResource("", NAME_TABLE_TYPE, toBinary(NameTableSchema, create(NameTableSchema, { table })));
}

function namesIn(groups: readonly ResourceGroup[]): NameTable["table"] {
  return Object.assign({}, ...groups.map(({ names }) => names));
}

function isFitting(match: NodeMatch, node: Node): boolean {
  const [type] = node.id.split("~");
  const labels = (node.metadata?.LABELS ?? {}) as Readonly<Record<string, unknown>>;
  return (
    (match.id === undefined || match.id === node.id) &&
    (match.type === undefined || match.type === type) &&
    (match.namespace === undefined || match.namespace === namespaceOf(node)) &&
    Object.entries(match.labels ?? {}).every(([name, value]) => labels[name] === value)
  );
}

/** From the metadata, else the first label of the node's DNS domain; empty when neither tells. */
export function namespaceOf({ id, metadata }: Node): string {
  if (typeof metadata?.NAMESPACE === "string" && metadata.NAMESPACE !== "") return metadata.NAMESPACE;
  const [namespace = "", ...rest] = (id.split("~")[3] ?? "").split(".");
  return rest.length > 0 ? namespace : "";
}
