import { fromBinary, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { parseAllDocuments } from "yaml";
import { AgentError, describeError, MOST_YAML_DEPTH, tooDeepAt } from "../base/index.ts";
import { loadEnvoyTypes } from "../proto/envoy-types.ts";
import { FieldProblem, isObject } from "../proto/explain-failure.ts";
import type { Node } from "../proto/gen/envoy/config/core/v3/base_pb.ts";
import {
  DeltaDiscoveryRequestSchema,
  DiscoveryRequestSchema,
} from "../proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { KNOWN_NAMES, nearestType, readType } from "./resource-types.ts";
import type { Wanted } from "./types.ts";

/** What a file of requests asks for. */
export interface Requests {
  /** Of the first request that has one. */
  readonly node: Node | undefined;
  readonly wanted: readonly Wanted[];
}

/**
 * Reads DiscoveryRequests, or DeltaDiscoveryRequests, in protobuf's JSON form, as YAML or JSON: one, a list of them, or several
 * documents; names in either spelling, types as on the command line. Requests of one type are one. `place` names the text in errors. Throws CONFIG_INVALID, which names the field.
 */
export function readRequests(text: string, place: string, isDelta: boolean): Requests {
  const types = loadEnvoyTypes();
  const typeName = (isDelta ? DeltaDiscoveryRequestSchema : DiscoveryRequestSchema).typeName;
  const requests = parse(text, place).map((json, at) => {
    try {
      return read(types.encode(typeName, json), isDelta);
    } catch (error) {
      if (!(error instanceof FieldProblem)) throw error;
      throw refused(place, `request ${at + 1}: ${[...error.path, error.message].join(": ")}`, otherForm(json, isDelta));
    }
  });
  const unknown = requests.findIndex(({ wanted: { typeUrl } }) => typeUrl !== "" && readType(typeUrl) === undefined);
  if (unknown >= 0) {
    const word = requests[unknown]?.wanted.typeUrl ?? "";
    const close = nearestType(word);
    const hint =
      close === undefined ? `Give a type URL, or one of ${KNOWN_NAMES.join(", ")}` : `Did you mean "${close}"?`;
    throw refused(place, `request ${unknown + 1}: typeUrl: "${word}" is no type`, hint);
  }
  const untyped = requests.findIndex(({ wanted }) => wanted.typeUrl === "");
  if (untyped >= 0) throw refused(place, `request ${untyped + 1} has no "typeUrl"`);
  if (requests.length === 0) throw refused(place, "there is no request in it");
  return {
    node: requests.find(({ node }) => node !== undefined)?.node,
    wanted: mergeByType(requests.map(({ wanted }) => wanted)),
  };
}

/** One stream has one subscription for each type. A request without names asks for all. */
function mergeByType(all: readonly Wanted[]): readonly Wanted[] {
  const merged = new Map<string, Wanted>();
  for (const { typeUrl: word, ...wanted } of all) {
    const typeUrl = readType(word) ?? word;
    const before = merged.get(typeUrl);
    merged.set(typeUrl, before === undefined ? { typeUrl, ...wanted } : { typeUrl, ...both(before, wanted) });
  }
  return [...merged.values()];
}

type Names = Omit<Wanted, "typeUrl">;

function both(a: Names, b: Names): Names {
  const names = a.names.length === 0 || b.names.length === 0 ? [] : [...new Set([...a.names, ...b.names])];
  return { names, ...((a.versions ?? b.versions) && { versions: { ...a.versions, ...b.versions } }) };
}

function read(bytes: Uint8Array, isDelta: boolean): { node: Node | undefined; wanted: Wanted } {
  if (isDelta) {
    const { node, typeUrl, ...request } = fromBinary(DeltaDiscoveryRequestSchema, bytes);
    const { resourceNamesSubscribe: names, initialResourceVersions: versions } = request;
    return { node, wanted: { typeUrl, names, versions } };
  }
  const { node, typeUrl, resourceNames: names } = fromBinary(DiscoveryRequestSchema, bytes);
  return { node, wanted: { typeUrl, names } };
}

function parse(text: string, place: string): JsonValue[] {
  if (tooDeepAt(text, MOST_YAML_DEPTH) !== undefined) throw refused(place, "it is nested too deeply");
  const documents = [...parseAllDocuments(text, { merge: true })];
  const [error] = documents.flatMap(({ errors }) => errors);
  if (error !== undefined) throw refused(place, error.message.split("\n")[0] ?? "");
  try {
    return documents
      .map((document) => document.toJS() as JsonValue)
      .flatMap((one) => (Array.isArray(one) ? one : one === null ? [] : [one]));
  } catch (failure) {
    throw refused(place, describeError(failure));
  }
}

/** The hint for a request of the other form of ADS. */
function otherForm(json: JsonValue, isDelta: boolean): string | undefined {
  const names = isObject(json) ? Object.keys(json as JsonObject) : [];
  const isOther = names.some((name) => (isDelta ? SOTW_FIELD : DELTA_FIELD).test(name));
  if (!isOther) return undefined;
  return isDelta ? "It is a DiscoveryRequest: leave --delta out" : "It is a DeltaDiscoveryRequest: use --delta";
}

const DELTA_FIELD = /^(resource_?names_?(un)?subscribe|initial_?resource_?versions)$/i;
const SOTW_FIELD = /^(resource_?names|version_?info)$/i;

function refused(place: string, why: string, hint?: string): AgentError {
  return new AgentError("CONFIG_INVALID", `Cannot use ${place}: ${why}`, hint === undefined ? {} : { hint });
}
