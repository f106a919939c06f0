import { createRegistry, fromJson, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, parseAllDocuments } from "yaml";
import { AgentError, describeError, MOST_YAML_DEPTH, tooDeepAt } from "../../base/index.ts";
import type { EnvoyTypes } from "../../proto/envoy-types.ts";
import { explainFailure, type FieldPath, FieldProblem, isObject } from "../../proto/explain-failure.ts";
import { NameTableSchema } from "../../proto/gen/istio/networking/nds/v1/nds_pb.ts";
import { RESOURCE_LISTS } from "../ads/resource-types.ts";
import { type ListenerPlace, type NodeMatch, type Resource, type ResourceGroup, toResource } from "../ads/snapshot.ts";

export interface SourceText {
  /** Named in errors. */
  readonly file: string;
  readonly text: string;
}

/**
 * Reads YAML documents of Envoy resources. Throws RESOURCES_INVALID, naming file, place and field; one bad document
 * rejects all.
 */
export function parseDocuments({ file, text }: SourceText, types: EnvoyTypes): ResourceGroup[] {
  const lines = new LineCounter();
  const documents = parseYaml({ file, text }, lines);
  return [...documents].map((document, at) => {
    const invalid = (offset: number, what: string): AgentError => {
      const { line, col } = lines.linePos(offset);
      const place = `${documents.length > 1 ? `document ${at + 1}, ` : ""}line ${line}, column ${col}`;
      return new AgentError("RESOURCES_INVALID", `Cannot use "${file}", ${place}: ${what}`);
    };
    const [error] = document.errors;
    if (error !== undefined) throw invalid(error.pos[0], error.message);
    try {
      return parseContent(contentOf(document), types);
    } catch (problem) {
      if (!(problem instanceof FieldProblem)) throw problem;
      const shown = showPath(problem.path);
      throw invalid(offsetOf(document, problem.path), `${shown === "" ? "" : `${shown}: `}${problem.message}`);
    }
  });
}

/** By its depth, because the library counts on its stack; what no look at the text finds ends there. */
function parseYaml({ file, text }: SourceText, lineCounter: LineCounter) {
  const deep = tooDeepAt(text, MOST_YAML_DEPTH);
  try {
    if (deep !== undefined) throw new RangeError("too deep");
    return parseAllDocuments(text, { lineCounter, merge: true, prettyErrors: false });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const place = deep === undefined ? "" : `, line ${text.slice(0, deep).split("\n").length}`;
    throw new AgentError("RESOURCES_INVALID", `Cannot use "${file}"${place}: it is nested too deeply`);
  }
}

function contentOf(document: Document): JsonObject {
  let content: unknown;
  try {
    content = document.toJS() ?? {};
  } catch (error) {
    throw new FieldProblem([], describeError(error)); // aliases that lead nowhere, or to a billion laughs
  }
  if (typeof content === "object" && content !== null && !Array.isArray(content)) return content as JsonObject;
  throw new FieldProblem([], `wanted lists of resources, such as "clusters:"`);
}

function parseContent(content: JsonObject, types: EnvoyTypes): ResourceGroup {
  const known = [...Object.keys(RESOURCE_LISTS), "names", "match"];
  const unknown = Object.keys(content).find((key) => !known.includes(key));
  if (unknown !== undefined) throw new FieldProblem([unknown], `unknown list, wanted one of ${known.join(", ")}`);
  const byType = Object.entries(RESOURCE_LISTS).map(([list, { typeName, nameField }]) => {
    const resources = parseList(list, content[list] ?? [], (item) => parseResource(item, typeName, nameField, types));
    return [`type.googleapis.com/${typeName}`, resources] as const;
  });
  return {
    match: parseMatch(content.match ?? {}),
    byType: new Map(byType),
    names: parseNames(content.names ?? {}),
    listeners: listenerPlaces(content.listeners ?? []),
  };
}

function listenerPlaces(items: JsonValue): ListenerPlace[] {
  return (Array.isArray(items) ? items : []).flatMap((item) => {
    const socket = fieldOf(fieldOf(item, "address"), "socket_address");
    const [name, port] = [fieldOf(item, "name"), fieldOf(socket, "port_value")];
    return typeof name === "string" && Number(port) > 0 ? [{ name, port: Number(port) }] : [];
  });
}

/** By its name in either of the two spellings. */
function fieldOf(json: JsonValue | undefined, name: string): JsonValue | undefined {
  return json !== undefined && isObject(json) ? (json[name] ?? json[camelCase(name)]) : undefined;
}

function parseList(list: string, items: JsonValue, parse: (item: JsonValue) => Resource): Resource[] {
  if (!Array.isArray(items)) throw new FieldProblem([list], "wanted a list");
  const places = new Map<string, number>();
  return items.map((item, at) => {
    const resource = inside([list, at], () => parse(item));
    const earlier = places.get(resource.name);
    if (earlier !== undefined) throw new FieldProblem([list, at], `"${resource.name}" is also ${list}[${earlier}]`);
    places.set(resource.name, at);
    return resource;
  });
}

function parseResource(json: JsonValue, typeName: string, nameField: string, types: EnvoyTypes): Resource {
  const name = fieldOf(json, nameField);
  if (typeof name !== "string" || name === "") throw new FieldProblem([], `it has no "${nameField}"`);
  return toResource(name, `type.googleapis.com/${typeName}`, types.encode(typeName, json));
}

function parseNames(json: JsonValue): ResourceGroup["names"] {
  try {
    return fromJson(NameTableSchema, { table: json }).table;
  } catch {
    const { path, message } = explainFailure(NameTableSchema, { table: json }, createRegistry());
    throw new FieldProblem(["names", ...path.slice(1)], message);
  }
}

function parseMatch(json: JsonValue): NodeMatch {
  if (!isObject(json)) throw new FieldProblem(["match"], "wanted id, type, namespace or labels");
  for (const [key, value] of Object.entries(json)) {
    if (!["id", "type", "namespace", "labels"].includes(key)) {
      throw new FieldProblem(["match", key], "unknown, wanted id, type, namespace or labels");
    }
    const isFitting = key === "labels" ? isObject(value) && Object.values(value).every(isText) : isText(value);
    if (isFitting) continue;
    throw new FieldProblem(["match", key], key === "labels" ? "wanted names with texts" : "wanted a text");
  }
  return json as NodeMatch;
}

function inside<T>(outer: FieldPath, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof FieldProblem)) throw error;
    throw new FieldProblem([...outer, ...error.path], error.message);
  }
}

/** `clusters[0].load_assignment`. */
function showPath(path: FieldPath): string {
  return path
    .map((key) => (typeof key === "number" ? `[${key}]` : `.${key}`))
    .join("")
    .replace(/^\./, "");
}

/** Where the innermost part of `path` that is written down begins. */
function offsetOf(document: Document, path: FieldPath): number {
  let node: unknown = document.contents;
  let offset = document.range?.[0] ?? 0;
  for (const key of path) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair = node.items.find(({ key: name }) => isScalar(name) && String(name.value) === key);
      if (pair === undefined) break; // it came by a merge key
      if (isScalar(pair.key)) offset = pair.key.range?.[0] ?? offset;
      node = pair.value;
    } else if (isSeq(node) && typeof key === "number") {
      node = node.items[key];
      const { range } = (node ?? {}) as { range?: readonly number[] };
      offset = range?.[0] ?? offset;
    } else break;
  }
  return offset;
}

const camelCase = (name: string): string => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());

const isText = (json: JsonValue): boolean => typeof json === "string";
