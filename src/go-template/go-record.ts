import type { JsonValue } from "../istio/mesh/index.ts";

/** What a Go template sees of a struct: its fields by Go name, and methods without arguments as if they were fields. */
export interface GoType {
  /** As error messages call it, for example `*v1alpha1.Tracing`. */
  readonly name: string;
  /** What `toJson` prints. */
  readonly json: JsonValue;
}

type Fields = Readonly<Record<string, unknown>>;

/** A struct: a field that it does not have is an error, where a map would have nothing. */
export function goRecord(fields: Fields, type: GoType): object {
  return guarded({ ...fields }, type, (field) => `can't evaluate field ${field} in type ${type.name}`);
}

/**
 * A nil pointer to a struct: falsy, but it has a type, so that reaching through it is an error. Only methods answer,
 * with what they would for a struct in which nothing is set.
 */
export function goNil(name: string, methods: () => Fields): object {
  let made: Fields | undefined;
  const answers = (): Fields => (made ??= methods());
  const nil = guarded({}, { name, json: null }, (field) => `nil pointer evaluating ${name}.${field}`);
  return new Proxy(nil, {
    has: (target, field) => (typeof field === "string" && Object.hasOwn(answers(), field) ? true : field in target),
    get: (target, field) =>
      typeof field === "string" && field.startsWith("Get") && Object.hasOwn(answers(), field)
        ? answers()[field]
        : Reflect.get(target, field),
  });
}

function guarded(fields: object, { json }: GoType, trouble: (field: string) => string): object {
  Object.defineProperty(fields, "toJSON", { value: () => json }); // for JSON.stringify; no enumerable field
  return new Proxy(fields, {
    has(target, field) {
      if (typeof field === "symbol" || Object.hasOwn(target, field)) return true;
      throw new Error(trouble(field));
    },
  });
}

/** A nil map or slice: empty, and `null` as JSON. */
export function goNilCollection<T extends object>(empty: T): T {
  return Object.defineProperty(empty, "toJSON", { value: () => null });
}

const TEXT_MAPS = new WeakSet<object>();

/** A map of texts, of which a missing one is empty when it is asked for with `index`. */
export function goTextMap(entries: Readonly<Record<string, string>>): object {
  const map = { ...entries };
  TEXT_MAPS.add(map);
  return map;
}

export function isGoTextMap(value: unknown): boolean {
  return typeof value === "object" && value !== null && TEXT_MAPS.has(value);
}
