import { type DurationNs, formatProtoDuration } from "../../base/index.ts";
import { type FieldType, hasPresence, type MessageSchema } from "./schema.ts";

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: JsonValue;
}

/**
 * Canonical protobuf JSON: lowerCamelCase names, zero values without presence left out, enums by name, durations in
 * seconds, 64-bit integers as text. Source: protobuf.dev, ProtoJSON format.
 */
export function encodeMessage(schema: MessageSchema, value: Readonly<Record<string, unknown>>): JsonObject {
  const json: Record<string, JsonValue> = {};
  for (const [name, field] of Object.entries(schema)) {
    const member = value[name];
    if (member === undefined || (!hasPresence(field) && isZero(field, member))) continue;
    json[name] = encodeValue(field, member);
  }
  return json;
}

/** The JSON of one field's value. */
export function encodeValue(field: FieldType, value: unknown): JsonValue {
  switch (field.kind) {
    case "duration":
      return formatProtoDuration(value as DurationNs);
    case "message":
      return encodeMessage(field.of, value as Readonly<Record<string, unknown>>);
    case "list":
      return (value as readonly unknown[]).map((item) => encodeValue(field.of, item));
    case "map":
      return Object.fromEntries(
        Object.entries(value as object)
          .sort(([a], [b]) => (a < b ? -1 : 1)) // as Go's protojson writes it
          .map(([key, item]) => [key, encodeValue(field.of, item)]),
      );
    case "wrapped":
      return field.of === "int64" ? String(value) : (value as number | boolean);
    case "json":
      return value as JsonValue;
    case "double":
      return Number.isFinite(value) ? (value as number) : String(value);
    default:
      return value as string | number | boolean;
  }
}

function isZero(field: FieldType, value: unknown): boolean {
  if (field.kind === "list") return (value as readonly unknown[]).length === 0;
  if (field.kind === "map") return Object.keys(value as object).length === 0;
  if (field.kind === "enum") return value === Object.keys(field.values)[0] || value === 0;
  return value === 0 || value === "" || value === false;
}
