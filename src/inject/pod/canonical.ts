import { isTree, type Tree } from "./json.ts";
import { fieldsOf, type PodField } from "./pod-types.ts";
import { canonicalQuantity } from "./quantity.ts";

/**
 * An object as Go writes it after reading it: fields in their order, zeros and unknown fields left out, quantities in their
 * shortest form. `type` is one of `pod-types.ts`. Throws what Go would refuse: a list where a mapping is wanted.
 */
export function canonical(type: string, value: Tree, path = ""): Tree {
  const entries: [string, unknown][] = [];
  for (const field of fieldsOf(type)) {
    const at = path === "" ? field.name : `${path}.${field.name}`;
    const written = canonicalField(field, value[field.name], at);
    if (written !== undefined) entries.push([field.name, written]);
  }
  return Object.fromEntries(entries);
}

export function canonicalPod(pod: Tree): Tree {
  return canonical("Pod", pod);
}

function canonicalField(field: PodField, value: unknown, path: string): unknown {
  if (value === undefined || value === null) return missing(field);
  switch (field.kind) {
    case "struct":
      return canonical(field.type ?? "", wanted(value, isTree, "a mapping", path) as Tree, path);
    case "list": {
      const items = wanted(value, Array.isArray, "a list", path) as readonly unknown[];
      if (items.length === 0 && !field.isKept) return undefined;
      const { type } = field;
      if (type === undefined) return items.map(withoutNulls);
      return items.map((item, at) =>
        canonical(type, wanted(item, isTree, "a mapping", `${path}[${at}]`) as Tree, `${path}[${at}]`),
      );
    }
    case "map":
      return canonicalTexts(wanted(value, isTree, "a mapping", path) as Tree, path);
    case "quantity":
      return canonicalQuantity(value, path);
    case "quantities": {
      const entries = Object.entries(wanted(value, isTree, "a mapping", path) as Tree);
      if (entries.length === 0) return undefined;
      return Object.fromEntries(entries.map(([name, one]) => [name, canonicalQuantity(one, `${path}.${name}`)]));
    }
    default:
      return isZero(value) && !field.isPointer && !field.isKept ? undefined : withoutNulls(value);
  }
}

function missing(field: PodField): unknown {
  if (!field.isKept) return undefined;
  if (field.kind === "struct") return canonical(field.type ?? "", {});
  if (field.kind === "quantity") return "0";
  if (field.isPointer || field.kind === "list") return null;
  return "";
}

function canonicalTexts(map: Tree, path: string): Tree | undefined {
  const entries = Object.entries(map).map(([key, value]) => {
    if (value === null) return [key, ""];
    if (typeof value !== "string") throw new Error(`${path}.${key}: found ${JSON.stringify(value)}, wanted a text`);
    return [key, value];
  });
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

function wanted(value: unknown, is: (value: unknown) => boolean, what: string, path: string): unknown {
  if (is(value)) return value;
  throw new Error(`${path}: found ${JSON.stringify(value)}, wanted ${what}`);
}

function isZero(value: unknown): boolean {
  return value === "" || value === 0 || value === false;
}

function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (!isTree(value)) return value;
  const entries = Object.entries(value).flatMap(([key, item]) => (item === null ? [] : [[key, withoutNulls(item)]]));
  return Object.fromEntries(entries);
}
