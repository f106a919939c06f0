import type { DurationNs } from "../../base/index.ts";

/** The type of one field of a message. `wrapped` scalars are absent unless set, as protobuf's wrapper messages are. */
export type FieldType =
  | { readonly kind: "string" | "bool" | "int32" | "uint32" | "double" | "duration" }
  /** Anything, unchecked: parts of a message that only the control plane reads. */
  | { readonly kind: "json" }
  | { readonly kind: "wrapped"; readonly of: "bool" | "int32" | "int64" }
  | { readonly kind: "enum"; readonly values: Readonly<Record<string, number>> }
  | { readonly kind: "list"; readonly of: FieldType }
  | { readonly kind: "map"; readonly of: FieldType }
  | { readonly kind: "message"; readonly of: MessageSchema };

export type Field = FieldType & {
  /** Name of the group of which at most one member is set. */
  readonly oneof?: string;
};

/** Fields by lowerCamelCase JSON name, in the order of their declaration. */
export type MessageSchema = { readonly [name: string]: Field };

/** The value of a message: scalars, lists and maps always there, messages, wrappers, durations and oneofs maybe. */
export type MessageOf<S extends MessageSchema> = { readonly [K in keyof S]: FieldValue<S[K]> };

type FieldValue<F extends Field> = F extends { readonly oneof: string }
  ? ValueOf<F> | undefined
  : F extends { readonly kind: "message" | "wrapped" | "duration" | "json" }
    ? ValueOf<F> | undefined
    : ValueOf<F>;

type ValueOf<F extends FieldType> = F extends { kind: "string" }
  ? string
  : F extends { kind: "bool" }
    ? boolean
    : F extends { kind: "int32" | "uint32" | "double" }
      ? number
      : F extends { kind: "duration" }
        ? DurationNs
        : F extends { kind: "wrapped"; of: infer W }
          ? W extends "bool"
            ? boolean
            : W extends "int64"
              ? bigint
              : number
          : F extends { kind: "enum"; values: infer V }
            ? keyof V | number
            : F extends { kind: "list"; of: infer E extends FieldType }
              ? readonly ValueOf<E>[]
              : F extends { kind: "map"; of: infer E extends FieldType }
                ? Readonly<Record<string, ValueOf<E>>>
                : F extends { kind: "message"; of: infer M extends MessageSchema }
                  ? MessageOf<M>
                  : unknown;

export const string = { kind: "string" } as const;
export const bool = { kind: "bool" } as const;
export const int32 = { kind: "int32" } as const;
export const uint32 = { kind: "uint32" } as const;
export const double = { kind: "double" } as const;
export const duration = { kind: "duration" } as const;
export const json = { kind: "json" } as const;
export const boolValue = { kind: "wrapped", of: "bool" } as const;
export const int32Value = { kind: "wrapped", of: "int32" } as const;
export const int64Value = { kind: "wrapped", of: "int64" } as const;
export const strings = { kind: "list", of: string } as const;
export const stringMap = { kind: "map", of: string } as const;

/** An enum whose values are numbered from 0 in the order given, or numbered explicitly. */
export const enumOf = <const V extends Readonly<Record<string, number>>>(values: V) =>
  ({ kind: "enum", values }) as const;
export const listOf = <const F extends FieldType>(of: F) => ({ kind: "list", of }) as const;
export const mapOf = <const F extends FieldType>(of: F) => ({ kind: "map", of }) as const;
export const message = <const S extends MessageSchema>(of: S) => ({ kind: "message", of }) as const;
export const oneof = <const G extends string, const F extends FieldType>(group: G, field: F) =>
  ({ ...field, oneof: group }) as F & { readonly oneof: G };

const KINDS_WITH_PRESENCE: readonly FieldType["kind"][] = ["message", "wrapped", "duration", "json"];

/** Whether a field is left out of the value unless it was set. */
export function hasPresence(field: Field): boolean {
  return field.oneof !== undefined || KINDS_WITH_PRESENCE.includes(field.kind);
}

const NO_ITEMS: readonly unknown[] = Object.freeze([]);
const NO_ENTRIES: Readonly<Record<string, unknown>> = Object.freeze({});

/** The value of a field without presence that nobody set. */
export function zeroOf(field: FieldType): unknown {
  switch (field.kind) {
    case "string":
      return "";
    case "bool":
      return false;
    case "int32":
    case "uint32":
    case "double":
      return 0;
    case "enum":
      return Object.keys(field.values)[0];
    case "list":
      return NO_ITEMS;
    case "map":
      return NO_ENTRIES;
    default:
      return undefined;
  }
}

/** Adds the zero value of every field that has no presence and is not there. The result is frozen. */
export function fillZeros<S extends MessageSchema>(
  schema: S,
  present: Readonly<Record<string, unknown>>,
): MessageOf<S> {
  const full: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(schema)) {
    full[name] = present[name] ?? (hasPresence(field) ? undefined : zeroOf(field));
  }
  return Object.freeze(full) as unknown as MessageOf<S>;
}

/** `discoveryAddress` becomes `discovery_address`, the name of the field in the .proto file. */
export function protoName(jsonName: string): string {
  if (jsonName === "meshMTLS") return "mesh_mTLS"; // the one name that breaks the rule
  return jsonName.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
