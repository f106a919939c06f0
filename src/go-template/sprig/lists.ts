import { type GoValue, goKind, goTyped, goTypeName } from "../go-value.ts";
import { compareTexts } from "../language/format.ts";
import { goFunctions, isTrue } from "../language/functions.ts";
import { toInteger, toText, toTexts } from "./cast.ts";
import { isDeepEqual } from "./deep-equal.ts";

type List = readonly GoValue[];

/** Source: Masterminds/sprig list.go. */
export const LISTS = goFunctions({
  list: ["...any", (...items: GoValue[]) => items],
  push: ["any any", (list: GoValue, item: GoValue) => [...listOf(list, "push on"), item]],
  prepend: ["any any", (list: GoValue, item: GoValue) => [item, ...listOf(list, "prepend on")]],
  first: ["any", (list: GoValue) => listOf(list, "find first on")[0] ?? null],
  last: ["any", (list: GoValue) => listOf(list, "find last on").at(-1) ?? null],
  rest: ["any", (list: GoValue) => orNil(listOf(list, "find rest on"), (items) => items.slice(1))],
  initial: ["any", (list: GoValue) => orNil(listOf(list, "find initial on"), (items) => items.slice(0, -1))],
  reverse: ["any", (list: GoValue) => [...listOf(list, "find reverse on")].reverse()],
  compact: ["any", (list: GoValue) => listOf(list, "compact on").filter(isTrue)],
  uniq: ["any", (list: GoValue) => unique(listOf(list, "find uniq on"))],
  without: [
    "any ...any",
    (list: GoValue, ...omitted: GoValue[]) => listOf(list, "find without on").filter((item) => !isIn(omitted, item)),
  ],
  has: ["any any", (item: GoValue, list: GoValue) => list !== null && isIn(listOf(list, "find has on"), item)],
  slice: ["any ...any", slice],
  concat: ["...any", (...lists: GoValue[]) => lists.flatMap((list) => concatenable(list))],
  chunk: ["int any", (size: bigint, list: GoValue) => chunks(Number(size), listOf(list, "chunk type", ""))],
  sortAlpha: ["any", (list: GoValue) => texts(Array.isArray(list) ? toTexts(list).sort(compareTexts) : [toText(list)])],
  toStrings: ["any", (list: GoValue) => texts(toTexts(list))],
  join: ["string any", (separator: string, list: GoValue) => toTexts(list).join(separator)],
  splitList: ["string string", (separator: string, text: string) => texts(text.split(separator))],
});

function texts(list: string[]): string[] {
  return goTyped(list, "[]string");
}

function listOf(value: GoValue, doing: string, type = "type "): List {
  if (Array.isArray(value)) return value;
  if (value === null || value === undefined)
    throw new Error("runtime error: invalid memory address or nil pointer dereference");
  throw new Error(`Cannot ${doing} ${type}${kindName(value)}`);
}

function kindName(value: GoValue): string {
  const kind = goKind(value);
  return kind === "int" ? goTypeName(value) : kind;
}

function concatenable(list: GoValue): List {
  if (Array.isArray(list)) return list;
  if (list === null) throw new Error("runtime error: invalid memory address or nil pointer dereference");
  throw new Error(`Cannot concat type ${kindName(list)} as list`);
}

function orNil(items: List, cut: (items: List) => List): GoValue {
  return items.length === 0 ? [] : cut(items);
}

function isIn(list: List, item: GoValue): boolean {
  return list.some((one) => isDeepEqual(one, item));
}

function unique(list: List): List {
  const found: GoValue[] = [];
  for (const item of list) if (!isIn(found, item)) found.push(item);
  return found;
}

function slice(list: GoValue, ...places: GoValue[]): GoValue {
  if (!Array.isArray(list)) throw new Error(`list should be type of slice or array but ${kindName(list)}`);
  if (list.length === 0) return null;
  const [from = 0, to = list.length] = places.map((place) => Number(toInteger(place)));
  if (from < 0 || to > list.length || from > to) throw new Error("reflect.Value.Slice: slice index out of bounds");
  return goTyped(list.slice(from, to), goTypeName(list));
}

function chunks(size: number, list: List): List {
  if (size <= 0) throw new Error("runtime error: makeslice: len out of range");
  const count = Math.floor((list.length - 1) / size) + 1;
  return Array.from({ length: count }, (_, at) => list.slice(at * size, at * size + size));
}
