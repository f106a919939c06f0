import { type DurationNs, formatProtoDuration } from "../base/index.ts";
import { encodeMessage, type Field, type FieldType, type MessageSchema, zeroOf } from "../istio/mesh/index.ts";
import { GoInt, GoNil, goRecord, goTextMap } from "./go-value.ts";

type Fields = Readonly<Record<string, unknown>>;

/**
 * A message as a Go template sees it: fields by Go name, wrappers as `{Value}`, durations as `{Seconds, Nanos}`, members
 * of a oneof under its holder, every field with a getter (`GetZipkin`). `typeName` is what error messages call it. Source:
 * generated code of istio/api.
 */
export function goMessage(schema: MessageSchema, value: Fields, typeName: string): object {
  const fields = { ...fieldsOf(schema, value), ...gettersOf(schema, value) };
  return goRecord(fields, { name: typeName, json: encodeMessage(schema, value) });
}

function fieldsOf(schema: MessageSchema, value: Fields): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  const holders = new Map<string, Record<string, unknown>>();
  for (const [name, field] of Object.entries(schema)) {
    if (field.oneof === undefined) fields[goName(name)] = goValue(field, value[name], name);
    else {
      const holder = holders.get(field.oneof) ?? {};
      if (value[name] !== undefined) holder[goName(name)] = goValue(field, value[name], name);
      holders.set(field.oneof, holder);
    }
  }
  for (const [group, members] of holders) {
    const name = goName(group);
    fields[name] = Object.keys(members).length === 0 ? undefined : goRecord(members, { name: `is${name}`, json: null });
  }
  return fields;
}

/** What the methods of a message answer, where `value` is what is set in it. */
function gettersOf(schema: MessageSchema, value: Fields): Record<string, unknown> {
  const entries = Object.entries(schema).map(([name, field]) => [
    `Get${goName(name)}`,
    goValue(field, value[name] ?? (field.oneof === undefined ? undefined : zeroOf(field)), name),
  ]);
  return Object.fromEntries(entries);
}

function goValue(field: Field | FieldType, value: unknown, name: string): unknown {
  switch (field.kind) {
    case "message": {
      const type = `*${goName(name)}`;
      if (value === undefined) return new GoNil(type, () => gettersOf(field.of, {}));
      return goMessage(field.of, value as Fields, type);
    }
    case "wrapped":
      return goWrapper(value, field.of);
    case "duration":
      return goDuration(value as DurationNs | undefined);
    case "list":
      return (value as readonly unknown[] | undefined)?.map((item) => goValue(field.of, item, name)) ?? [];
    case "map": {
      if (field.of.kind === "string") return goTextMap((value ?? {}) as Record<string, string>);
      const entries = Object.entries((value ?? {}) as Fields);
      return Object.fromEntries(entries.map(([key, item]) => [key, goValue(field.of, item, name)]));
    }
    case "enum":
      return goEnum(field, String(value ?? zeroOf(field)));
    case "int32":
    case "uint32":
      return new GoInt(BigInt((value as number | undefined) ?? 0), field.kind);
    default:
      return value ?? zeroOf(field);
  }
}

/** A value of an enum prints as its name, but it is a number. */
function goEnum(field: Extract<FieldType, { kind: "enum" }>, name: string): GoInt {
  return new GoInt(field.values[name] ?? 0, "int32", name);
}

function goWrapper(value: unknown, of: "bool" | "int32" | "int64"): object {
  const type = "*wrapperspb.Value";
  const plain = (one: unknown): unknown => (of === "bool" ? one === true : new GoInt(one as number | bigint, of));
  if (value === undefined) return new GoNil(type, () => ({ GetValue: plain(of === "bool" ? false : 0) }));
  const json = typeof value === "bigint" ? Number(value) : (value as number | boolean);
  return goRecord({ Value: plain(value), GetValue: plain(value) }, { name: type, json });
}

function goDuration(value: DurationNs | undefined): object {
  const type = "*durationpb.Duration";
  const zero = new GoInt(0, "int64");
  if (value === undefined) return new GoNil(type, () => ({ GetSeconds: zero, GetNanos: new GoInt(0, "int32") }));
  const [seconds, nanos] = [new GoInt(value / 1_000_000_000n, "int64"), new GoInt(value % 1_000_000_000n, "int32")];
  const fields = { Seconds: seconds, Nanos: nanos, GetSeconds: seconds, GetNanos: nanos };
  return goRecord(fields, { name: type, json: formatProtoDuration(value) });
}

/** As protoc's Go generator names a field: each part of the proto name begins with a capital, a letter after a digit is one. */
function goName(jsonName: string): string {
  return jsonName.charAt(0).toUpperCase() + jsonName.slice(1).replace(/\d[a-z]/g, (pair) => pair.toUpperCase());
}
