import type { JsonValue } from "@bufbuild/protobuf";
import { HIDDEN } from "../base/index.ts";

/** Resources in JSON form, by type URL and name. */
export type Dump = ReadonlyMap<string, ReadonlyMap<string, JsonValue>>;

export interface Difference {
  readonly typeUrl: string;
  readonly name: string;
  readonly kind: "only in the first" | "only in the second" | "different";
  /** Of a resource that both have. */
  readonly fields: readonly FieldDifference[];
}

export interface FieldDifference {
  /** `filterChains[0].filters["tcp"].typedConfig.cluster`. */
  readonly path: string;
  /** Undefined where that side has none. */
  readonly first: JsonValue | undefined;
  readonly second: JsonValue | undefined;
}

/** How two dumps differ, by type and name. The order of resources and of fields is no difference; that of lists is. */
export function compareDumps(first: Dump, second: Dump): Difference[] {
  const typeUrls = new Set([...first.keys(), ...second.keys()]);
  return [...typeUrls].flatMap((typeUrl) => {
    const [a, b] = [first.get(typeUrl) ?? new Map(), second.get(typeUrl) ?? new Map()];
    const names = [...new Set<string>([...a.keys(), ...b.keys()])].sort();
    return names.flatMap((name): Difference[] => {
      if (!b.has(name)) return [{ typeUrl, name, kind: "only in the first", fields: [] }];
      if (!a.has(name)) return [{ typeUrl, name, kind: "only in the second", fields: [] }];
      const fields = compareValues(a.get(name), b.get(name), "");
      return fields.length === 0 ? [] : [{ typeUrl, name, kind: "different", fields }];
    });
  });
}

type Value = JsonValue | undefined;

function compareValues(first: Value, second: Value, path: string): FieldDifference[] {
  if (Array.isArray(first) && Array.isArray(second)) return compareLists(first, second, path);
  if (isObject(first) && isObject(second)) {
    const names = [...new Set([...Object.keys(first), ...Object.keys(second)])];
    return names.flatMap((name) => compareValues(first[name], second[name], `${path}${path === "" ? "" : "."}${name}`));
  }
  const isSame = first === second || isHidden(first) || isHidden(second);
  return isSame ? [] : [{ path, first, second }];
}

/** Nothing is known of what pilotboat or istiod has hidden in a dump, and a recording does not have it at all. */
function isHidden(value: Value): boolean {
  if (isObject(value)) return Object.keys(value).length > 0 && Object.values(value).every(isHidden);
  return value === HIDDEN || value === ISTIOD_HIDDEN;
}

const ISTIOD_HIDDEN = "[redacted]";

/** Items with names of their own are compared by name, so that one that comes first does not make all others differ. */
function compareLists(first: readonly JsonValue[], second: readonly JsonValue[], path: string): FieldDifference[] {
  const [a, b] = [byName(first), byName(second)];
  if (a === undefined || b === undefined) {
    const length = Math.max(first.length, second.length);
    return Array.from({ length }, (_, at) => compareValues(first[at], second[at], `${path}[${at}]`)).flat();
  }
  const names = [...new Set([...a.keys(), ...b.keys()])];
  const items = names.flatMap((name) => compareValues(a.get(name), b.get(name), `${path}[${JSON.stringify(name)}]`));
  const common = [...a.keys()].filter((name) => b.has(name));
  const isReordered = [...b.keys()].filter((name) => a.has(name)).some((name, at) => name !== common[at]);
  return isReordered ? [...items, { path, first: [...a.keys()], second: [...b.keys()] }] : items;
}

/** Undefined where an item has no name, or that of another. */
function byName(list: readonly JsonValue[]): ReadonlyMap<string, JsonValue> | undefined {
  const found = new Map<string, JsonValue>();
  for (const item of list) {
    const name = isObject(item) ? item.name : undefined;
    if (typeof name !== "string" || found.has(name)) return undefined;
    found.set(name, item);
  }
  return found;
}

function isObject(value: Value): value is { [name: string]: JsonValue } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
