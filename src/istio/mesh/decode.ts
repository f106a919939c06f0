import { parseGoDuration } from "../../base/index.ts";
import { type Field, type FieldType, fillZeros, type MessageSchema, protoName, zeroOf } from "./schema.ts";

/** Keys, as they are written, from the top of the document. */
export type Path = readonly (string | number)[];

/** Receives what is wrong; decoding goes on, so that everything is told at once. */
export interface DecodeSink {
  wrongType(path: Path, found: unknown, wanted: string): void;
  unknownField(path: Path, known: readonly string[]): void;
}

/**
 * Turns a JSON tree into the fields of a message that are really there. Names are lowerCamelCase or snake_case, the
 * former wins; `null` is absence; unknown fields are reported and passed over; of a oneof the last declared member
 * counts. Source: protobuf.dev ProtoJSON format, with the leniencies of gogo/protobuf's jsonpb (Go durations,
 * integers in quotes) that istio/istio pkg/config/mesh keeps.
 */
export function decodePresent(
  schema: MessageSchema,
  tree: Readonly<Record<string, unknown>>,
  path: Path,
  sink: DecodeSink,
): Record<string, unknown> {
  const present: Record<string, unknown> = {};
  const members = new Map<string, string>();
  for (const [name, field] of Object.entries(schema)) {
    const key = [name, protoName(name)].find((one) => Object.hasOwn(tree, one));
    if (key === undefined || tree[key] === null) continue;
    const value = decodeValue(field, tree[key], [...path, key], sink);
    if (value === undefined) continue;
    const rival = field.oneof === undefined ? undefined : members.get(field.oneof);
    if (rival !== undefined) delete present[rival];
    if (field.oneof !== undefined) members.set(field.oneof, name);
    present[name] = value;
  }
  reportUnknown(schema, tree, path, sink);
  return present;
}

function reportUnknown(schema: MessageSchema, tree: object, path: Path, sink: DecodeSink): void {
  const names = Object.keys(schema);
  const known = new Set(names.flatMap((name) => [name, protoName(name)]));
  for (const key of Object.keys(tree)) if (!known.has(key)) sink.unknownField([...path, key], names);
}

/** Returns undefined after reporting a problem. */
function decodeValue(field: Field | FieldType, value: unknown, path: Path, sink: DecodeSink): unknown {
  const decoded = decodeKind(field, value, path, sink);
  if (decoded === undefined && !isContainer(field)) sink.wrongType(path, value, wantedText(field));
  return decoded;
}

function isContainer(field: FieldType): boolean {
  return field.kind === "message" || field.kind === "list" || field.kind === "map";
}

function decodeKind(field: FieldType, value: unknown, path: Path, sink: DecodeSink): unknown {
  switch (field.kind) {
    case "string":
      return typeof value === "string" ? value : undefined;
    case "bool":
      return typeof value === "boolean" ? value : undefined;
    case "int32":
      return integer(value, -(2n ** 31n), 2n ** 31n - 1n);
    case "uint32":
      return integer(value, 0n, 2n ** 32n - 1n);
    case "double":
      return double(value);
    case "duration":
      return typeof value === "string" ? parseGoDuration(value) : undefined;
    case "enum":
      return enumValue(field.values, value);
    case "json":
      return value;
    case "wrapped":
      if (field.of === "bool") return typeof value === "boolean" ? value : undefined;
      return field.of === "int32"
        ? integer(value, -(2n ** 31n), 2n ** 31n - 1n)
        : bigInteger(value, -(2n ** 63n), 2n ** 63n - 1n);
    default:
      return decodeContainer(field, value, path, sink);
  }
}

function decodeContainer(
  field: Extract<FieldType, { kind: "list" | "map" | "message" }>,
  value: unknown,
  path: Path,
  sink: DecodeSink,
): unknown {
  if (field.kind === "list") {
    if (!Array.isArray(value)) return void sink.wrongType(path, value, "a list");
    const items = value.map((item, at) => decodeItem(field.of, item, [...path, at], sink));
    return Object.freeze(items.filter((item) => item !== undefined));
  }
  if (!isRecord(value)) return void sink.wrongType(path, value, "a mapping");
  if (field.kind === "message") return fillZeros(field.of, decodePresent(field.of, value, path, sink));
  const entries = Object.entries(value).map(([key, item]) => [key, decodeItem(field.of, item, [...path, key], sink)]);
  return Object.freeze(Object.fromEntries(entries.filter(([, item]) => item !== undefined)));
}

/** Inside a list or map, `null` is the type's zero value: an empty string, an empty message. */
function decodeItem(type: FieldType, item: unknown, path: Path, sink: DecodeSink): unknown {
  if (item !== null) return decodeValue(type, item, path, sink);
  return zeroOf(type) ?? decodeValue(type, type.kind === "message" ? {} : item, path, sink);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function integer(value: unknown, least: bigint, most: bigint): number | undefined {
  const exact = bigInteger(value, least, most);
  return exact === undefined ? undefined : Number(exact);
}

function bigInteger(value: unknown, least: bigint, most: bigint): bigint | undefined {
  const found = typeof value === "string" ? inQuotes(value) : value;
  const isInteger =
    typeof found === "bigint" ||
    (typeof found === "number" && Number.isInteger(found)) ||
    (typeof found === "string" && /^-?(0|[1-9]\d{0,19})$/.test(found));
  if (!isInteger) return undefined;
  const exact = BigInt(found as string | number | bigint);
  return exact >= least && exact <= most ? exact : undefined;
}

function double(value: unknown): number | undefined {
  if (typeof value === "bigint") return Number(value);
  if (typeof value === "number") return Number.isFinite(value) ? value : undefined;
  if (typeof value !== "string") return undefined;
  if (value === "NaN" || /^-?Infinity$/.test(value)) return Number(value);
  const found = inQuotes(value);
  const isNumber = /^-?(0|[1-9]\d*)(\.\d+)?(e[+-]?\d+)?$/i.test(found) && Number.isFinite(Number(found));
  return isNumber ? Number(found) : undefined;
}

/** A number in quotes is read as JSON again: with blanks around it, and `null` is zero. Source: golang/protobuf jsonpb. */
function inQuotes(text: string): string {
  const found = text.replaceAll(/^[ \t\r\n]+|[ \t\r\n]+$/g, "");
  return found === "null" ? "0" : found;
}

function enumValue(values: Readonly<Record<string, number>>, value: unknown): string | number | undefined {
  if (typeof value === "string") return Object.hasOwn(values, value) ? value : undefined;
  const number = typeof value === "number" ? integer(value, -(2n ** 31n), 2n ** 31n - 1n) : undefined;
  return Object.keys(values).find((name) => values[name] === number) ?? number;
}

function wantedText(field: FieldType): string {
  switch (field.kind) {
    case "string":
      return "a string (write a number or boolean in quotes)";
    case "bool":
      return "true or false, without quotes";
    case "int32":
    case "uint32":
      return "a whole number";
    case "wrapped":
      return field.of === "bool" ? "true or false, without quotes" : "a whole number";
    case "double":
      return "a number";
    case "duration":
      return 'a duration such as "30s", "1m30s" or "500ms"';
    case "enum":
      return `one of ${Object.keys(field.values).join(", ")}`;
    default:
      return `a ${field.kind}`;
  }
}
