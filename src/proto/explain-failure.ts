import {
  type DescField,
  type DescMessage,
  fromJson,
  type JsonObject,
  type JsonValue,
  type Registry,
} from "@bufbuild/protobuf";

/** Keys of objects and positions in lists, from the outside in. */
export type FieldPath = readonly (string | number)[];

/** A value that its message cannot hold. */
export class FieldProblem extends Error {
  readonly path: FieldPath;

  constructor(path: FieldPath, reason: string) {
    super(reason);
    this.name = "FieldProblem";
    this.path = path;
  }
}

/** A part of a message that is a message. */
interface Part {
  readonly path: FieldPath;
  readonly type: DescMessage;
  readonly json: JsonValue;
}

/**
 * Finds the innermost value that makes `json` no `type`. The library's errors name message and field but no path, so
 * each part is tried by itself.
 */
export function explainFailure(type: DescMessage, json: JsonValue, registry: Registry): FieldProblem {
  if (isWellKnown(type)) return new FieldProblem([], found(json, WELL_KNOWN_WANTS[type.typeName] ?? type.typeName));
  if (!isObject(json)) return new FieldProblem([], found(json, `an object (${type.typeName})`));
  for (const key of Object.keys(json)) {
    const field = fieldOf(type, key);
    if (field === undefined) return new FieldProblem([key], `${type.typeName} has no such field`);
    for (const part of partsOf(field, key, json[key] ?? null)) {
      const problem = problemOf(part, registry);
      if (problem !== undefined) return new FieldProblem([...part.path, ...problem.path], problem.message);
    }
    const reason = failureOf(type, { [key]: json[key] ?? null }, registry);
    if (reason !== undefined) return new FieldProblem([key], wantedOf(field, json[key] ?? null) ?? reason);
  }
  return new FieldProblem([], failureOf(type, json, registry) ?? "");
}

function problemOf({ type, json }: Part, registry: Registry): FieldProblem | undefined {
  if (failureOf(type, json, registry) === undefined) return undefined;
  return type.typeName === ANY ? explainAny(json, registry) : explainFailure(type, json, registry);
}

const ANY = "google.protobuf.Any";

function explainAny(json: JsonValue, registry: Registry): FieldProblem {
  if (!isObject(json)) return new FieldProblem([], found(json, 'an object with "@type"'));
  const { "@type": typeUrl, ...rest } = json;
  if (typeof typeUrl !== "string") return new FieldProblem([], 'there is no "@type"');
  const type = registry.getMessage(typeUrl.slice(typeUrl.lastIndexOf("/") + 1));
  if (type !== undefined) return explainFailure(type, isWellKnown(type) ? (rest.value ?? null) : rest, registry);
  const hint = 'a message of another project can be written as "type.googleapis.com/udpa.type.v1.TypedStruct"';
  return new FieldProblem(["@type"], `no message "${typeUrl}" is known; ${hint}`);
}

/** The parts of one field: of a list each item, of a map each value. */
function partsOf(field: DescField, key: string, json: JsonValue): Part[] {
  const type = field.message;
  if (type === undefined) return [];
  if (field.fieldKind === "list" && Array.isArray(json)) {
    return json.map((item, at) => ({ path: [key, at], type, json: item }));
  }
  if (field.fieldKind === "map" && isObject(json)) {
    return Object.entries(json).map(([name, value]) => ({ path: [key, name], type, json: value }));
  }
  return field.fieldKind === "message" && json !== null ? [{ path: [key], type, json }] : [];
}

/** What a field of a kind that the library's words say little about could have been. */
function wantedOf(field: DescField, json: JsonValue): string | undefined {
  if (field.enum !== undefined) return found(json, `one of ${field.enum.values.map(({ name }) => name).join(", ")}`);
  if (field.fieldKind === "list" && !Array.isArray(json)) return found(json, "a list");
  return undefined;
}

const WELL_KNOWN_WANTS: Readonly<Record<string, string>> = {
  "google.protobuf.Duration": 'a duration in seconds, such as "1.5s"',
  "google.protobuf.Struct": "an object",
  "google.protobuf.BoolValue": "true or false",
  "google.protobuf.UInt32Value": "a whole number from 0 to 4294967295",
  "google.protobuf.UInt64Value": "a whole number from 0",
  "google.protobuf.DoubleValue": "a number",
};

function found(json: JsonValue, wanted: string): string {
  return `found ${JSON.stringify(json).slice(0, MOST_SHOWN)}, wanted ${wanted}`;
}

/** Characters of a value in a message. */
const MOST_SHOWN = 80;

function fieldOf(type: DescMessage, key: string): DescField | undefined {
  return type.fields.find(({ name, jsonName }) => name === key || jsonName === key);
}

/** Messages with a JSON form of their own, such as Duration and Struct. */
function isWellKnown(type: DescMessage): boolean {
  return type.typeName.startsWith("google.protobuf.");
}

function failureOf(type: DescMessage, json: JsonValue, registry: Registry): string | undefined {
  try {
    fromJson(type, json, { registry });
    return undefined;
  } catch (error) {
    return (error instanceof Error ? error.message : String(error)).replace(/^cannot decode .*? from JSON: /, "");
  }
}

export function isObject(json: JsonValue): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}
