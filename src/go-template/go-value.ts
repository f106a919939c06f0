import type { JsonValue } from "../istio/mesh/index.ts";

/**
 * Go's values as a template sees them. Undefined is no value at all (a key that a map does not have), null is a nil
 * interface, a number is a float64, a bigint an int, an array a slice, a plain object a map; what needs more has a class.
 */
export type GoValue = unknown;

/** What a Go template sees of a struct: its fields by Go name, and methods without arguments as if they were fields. */
export interface GoType {
  /** As error messages call it, for example `*v1alpha1.Tracing`. */
  readonly name: string;
  /** What `toJson` prints. */
  readonly json: JsonValue;
}

/** A struct, or a pointer to one: a field that it does not have is an error, where a map would have nothing. */
export class GoStruct {
  readonly fields: Readonly<Record<string, GoValue>>;
  readonly type: GoType;

  constructor(fields: Readonly<Record<string, GoValue>>, type: GoType) {
    this.fields = fields;
    this.type = type;
  }

  toJSON(): JsonValue {
    return this.type.json;
  }
}

/**
 * A nil pointer to a struct: falsy, but it has a type, so that reaching through it is an error. Only its methods answer,
 * with what they would for a struct in which nothing is set.
 */
export class GoNil {
  readonly typeName: string;
  readonly methods: () => Readonly<Record<string, GoValue>>;

  constructor(typeName: string, methods: () => Readonly<Record<string, GoValue>> = () => ({})) {
    this.typeName = typeName;
    this.methods = methods;
  }

  toJSON(): null {
    return null;
  }
}

/** An integer whose type is not int. One that stands for a member of an enum prints as its name. */
export class GoInt {
  readonly value: bigint;
  readonly typeName: string;
  readonly enumName: string | undefined;

  constructor(value: bigint | number, typeName: string, enumName?: string) {
    this.value = BigInt(value);
    this.typeName = typeName;
    this.enumName = enumName;
  }

  toJSON(): number | string {
    return this.enumName ?? Number(this.value);
  }

  toString(): string {
    return this.enumName ?? String(this.value);
  }
}

export type GoMap = Readonly<Record<string, GoValue>>;

/** Types of maps and slices whose elements are not interfaces. */
const TYPES = new WeakMap<object, string>();
const NIL_COLLECTIONS = new WeakSet<object>();

/** A struct by its fields; a field without a value is a nil interface. */
export function goRecord(fields: Readonly<Record<string, GoValue>>, type: GoType): GoStruct {
  const entries = Object.entries(fields).map(([name, value]) => [name, value === undefined ? null : value]);
  return new GoStruct(Object.fromEntries(entries), type);
}

/** A map of texts: `map[string]string`. */
export function goTextMap(entries: Readonly<Record<string, string>>): GoMap {
  return goTyped({ ...entries }, "map[string]string");
}

/** A slice or map of the named type, for example `[]string`. */
export function goTyped<T extends object>(collection: T, typeName: string): T {
  TYPES.set(collection, typeName);
  return collection;
}

/** A nil map or slice: empty, and `null` as JSON. */
export function goNilCollection<T extends object>(empty: T): T {
  NIL_COLLECTIONS.add(empty);
  return Object.defineProperty(empty, "toJSON", { value: () => null });
}

export function isNilCollection(value: object): boolean {
  return NIL_COLLECTIONS.has(value);
}

export type GoKind =
  | "invalid"
  | "interface"
  | "bool"
  | "string"
  | "int"
  | "float64"
  | "slice"
  | "map"
  | "struct"
  | "ptr"
  | "func";

/** The kind of a value; every integer is an int here. */
export function goKind(value: GoValue): GoKind {
  switch (typeof value) {
    case "undefined":
      return "invalid";
    case "boolean":
      return "bool";
    case "string":
      return "string";
    case "bigint":
      return "int";
    case "number":
      return "float64";
    case "function":
      return "func";
    default:
      return objectKind(value);
  }
}

function objectKind(value: unknown): GoKind {
  if (value === null) return "interface";
  if (Array.isArray(value)) return "slice";
  if (value instanceof GoInt) return "int";
  if (value instanceof GoNil) return "ptr";
  if (value instanceof GoStruct) return value.type.name.startsWith("*") ? "ptr" : "struct";
  return value instanceof Date ? "struct" : "map";
}

/** The type as Go's `%T` prints it. */
export function goTypeName(value: GoValue): string {
  if (value instanceof GoInt || value instanceof GoNil) return value.typeName;
  if (value instanceof GoStruct) return value.type.name;
  if (value instanceof Date) return "time.Time";
  const typed = typeof value === "object" && value !== null ? TYPES.get(value) : undefined;
  if (typed !== undefined) return typed;
  const kind = goKind(value);
  if (kind === "slice") return "[]interface {}";
  if (kind === "map") return "map[string]interface {}";
  return kind === "interface" || kind === "invalid" ? "interface {}" : kind;
}

/** What an element of a map or slice is when it is not there: the zero of the element's type. */
export function goZeroElement(collection: object): GoValue {
  const element = (TYPES.get(collection) ?? "").replace(/^\[\]|^map\[string\]/, "");
  if (element === "string") return "";
  return element === "int" ? 0n : null;
}

/** An integer of any type; undefined for what is none. */
export function goInteger(value: GoValue): bigint | undefined {
  if (typeof value === "bigint") return value;
  return value instanceof GoInt ? value.value : undefined;
}
