import { type GoValue, goInteger, goKind, goTypeName } from "../go-value.ts";

/** Go's reflect.DeepEqual: the types are the same, too. */
export function isDeepEqual(a: GoValue, b: GoValue): boolean {
  const [first, second] = [a ?? null, b ?? null];
  if (first === null || second === null) return first === second;
  if (goTypeName(first) !== goTypeName(second)) return false;
  const kind = goKind(first);
  if (kind === "int") return goInteger(first) === goInteger(second);
  if (kind !== "slice" && kind !== "map") return first === second;
  const [own, other] = [Object.entries(first as object), second as Readonly<Record<string, GoValue>>];
  if (own.length !== Object.keys(other).length) return false;
  return own.every(([key, item]) => Object.hasOwn(other, key) && isDeepEqual(item, other[key]));
}
