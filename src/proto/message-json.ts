import {
  type DescField,
  type DescMessage,
  fromBinary,
  type JsonObject,
  type JsonValue,
  toJson,
} from "@bufbuild/protobuf";
import { type ReflectMessage, reflect, type ScalarValue } from "@bufbuild/protobuf/reflect";
import { type Any, NullValue } from "@bufbuild/protobuf/wkt";
import { nameIn } from "./wire.ts";

export interface MessageJsonOptions {
  /** The message of that full name; undefined leaves an Any of it as base64. */
  readonly find: (typeName: string) => DescMessage | undefined;
  /** What stands where a private key or a password was. */
  readonly hidden: string;
}

/**
 * A packed message in protobuf's JSON form, with lowerCamelCase names and every Any in it expanded. What is not known, or not
 * what it claims to be, is `{"@type", "value"}` with the bytes in base64. Private keys, passwords and generic secrets are
 * hidden; names of the files that have them stay.
 */
export function anyJson({ typeUrl, value }: Pick<Any, "typeUrl" | "value">, options: MessageJsonOptions): JsonObject {
  const type = options.find(nameIn(typeUrl));
  if (type === undefined) return { "@type": typeUrl, value: bytesJson(value, options) };
  try {
    const message = reflect(type, fromBinary(type, value));
    const json = jsonOf(message, { ...options, isPrivate: false });
    return isWellKnown(type) ? { "@type": typeUrl, value: json } : { "@type": typeUrl, ...(json as JsonObject) };
  } catch {
    return { "@type": typeUrl, value: bytesJson(value, options) };
  }
}

/** What of a resource only its owner may know. Source: envoy api/envoy/extensions/transport_sockets/tls/v3/{common,secret}.proto. */
const PRIVATE: ReadonlySet<string> = new Set([
  "private_key",
  "private_key_provider",
  "password",
  "pkcs12",
  "session_ticket_keys",
  "generic_secret",
]);
/** Where a key lies is what one wants to know. */
const PLACES: ReadonlySet<string> = new Set(["filename", "environment_variable", "provider_name", "path"]);

interface Writing extends MessageJsonOptions {
  /** Below a private field: no value is shown. */
  readonly isPrivate: boolean;
}

function jsonOf(message: ReflectMessage, writing: Writing): JsonValue {
  const { desc } = message;
  if (desc.typeName === ANY) return anyIn(message.message as Any, writing);
  if (isWellKnown(desc)) return writing.isPrivate ? writing.hidden : toJson(desc, message.message);
  const fields = message.fields.filter((field) => message.isSet(field));
  return Object.fromEntries(
    fields.map((field) => {
      const isPrivate = (writing.isPrivate || PRIVATE.has(field.name)) && !PLACES.has(field.name);
      return [field.jsonName, fieldJson(message, field, { ...writing, isPrivate })];
    }),
  );
}

const ANY = "google.protobuf.Any";

function anyIn(any: Any, writing: Writing): JsonValue {
  if (any.typeUrl === "") return {};
  return writing.isPrivate ? { "@type": any.typeUrl, value: writing.hidden } : anyJson(any, writing);
}

function fieldJson(message: ReflectMessage, field: DescField, writing: Writing): JsonValue {
  switch (field.fieldKind) {
    case "message":
      return jsonOf(message.get(field), writing);
    case "list":
      return [...message.get(field)].map((item) => valueJson(item, field.enum, writing));
    case "map":
      return Object.fromEntries(
        [...message.get(field)].map(([key, value]) => [String(key), valueJson(value, field.enum, writing)]),
      );
    default:
      return valueJson(message.get(field), field.enum, writing);
  }
}

function valueJson(value: unknown, type: DescField["enum"], writing: Writing): JsonValue {
  if (typeof value === "object" && value !== null && !(value instanceof Uint8Array)) {
    return jsonOf(value as ReflectMessage, writing);
  }
  if (type !== undefined) return enumJson(Number(value), type);
  return writing.isPrivate && typeof value !== "boolean" ? writing.hidden : scalarJson(value as ScalarValue, writing);
}

function enumJson(number: number, type: NonNullable<DescField["enum"]>): JsonValue {
  if (type.typeName === "google.protobuf.NullValue" && number === NullValue.NULL_VALUE) return null;
  return type.value[number]?.name ?? number;
}

function scalarJson(value: ScalarValue, options: MessageJsonOptions): JsonValue {
  if (typeof value === "bigint") return String(value);
  if (value instanceof Uint8Array) return bytesJson(value, options);
  return typeof value === "number" && !Number.isFinite(value) ? NOT_FINITE(value) : value;
}

const NOT_FINITE = (value: number): string => (Number.isNaN(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");

/** In base64; bytes that quote a private key are none of anybody's business, whatever they are. */
function bytesJson(bytes: Uint8Array, { hidden }: MessageJsonOptions): string {
  const text = Buffer.from(bytes);
  return text.includes("PRIVATE KEY-----") ? hidden : text.toString("base64");
}

/** Messages with a JSON form of their own, such as Duration and Struct. */
function isWellKnown(type: DescMessage): boolean {
  return type.typeName.startsWith("google.protobuf.");
}
