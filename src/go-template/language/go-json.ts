import { escapeGoJson } from "../../base/index.ts";
import { GoInt, type GoMap, GoStruct, type GoValue, goKind, isNilCollection } from "../go-value.ts";
import { sortedEntries } from "./format.ts";

/** A value as Go's encoding/json writes it; with `indent` each member has a line. */
export function encodeJson(value: GoValue, indent = ""): string {
  return escapeGoJson(encodeRawJson(value, indent));
}

/**
 * A value as Go's encoding/json writes it, but for the escapes of HTML: the keys of a map are sorted, the fields of a
 * struct stay in their order.
 */
export function encodeRawJson(value: GoValue, indent = "", before = ""): string {
  const inside = before + indent;
  const [open, close] = indent === "" ? ["", ""] : [`\n${inside}`, `\n${before}`];
  const list = (left: string, items: readonly string[], right: string): string =>
    items.length === 0 ? left + right : left + open + items.join(`,${open}`) + close + right;
  if (typeof value === "bigint") return String(value);
  if (value instanceof GoInt)
    return value.enumName === undefined ? String(value.value) : JSON.stringify(value.enumName);
  if (value instanceof GoStruct) return encodeStruct(value, indent, before);
  if (Array.isArray(value) && !isNilCollection(value)) {
    return list(
      "[",
      value.map((item) => encodeRawJson(item, indent, inside)),
      "]",
    );
  }
  if (goKind(value) !== "map") return JSON.stringify(value ?? null);
  if (isNilCollection(value as object)) return "null";
  const colon = indent === "" ? ":" : ": ";
  const members = sortedEntries(value as GoMap).map(
    ([key, item]) => JSON.stringify(key) + colon + encodeRawJson(item, indent, inside),
  );
  return list("{", members, "}");
}

/** What a struct prints is its JSON, with the members in their order. */
function encodeStruct({ type }: GoStruct, indent: string, before: string): string {
  return JSON.stringify(type.json, undefined, indent).replaceAll("\n", `\n${before}`);
}
