import {
  type GoMap,
  GoNil,
  GoStruct,
  type GoValue,
  goInteger,
  goKind,
  goTyped,
  goTypeName,
  goZeroElement,
  isNilCollection,
} from "../go-value.ts";
import { compareTexts, formatValue, printable, sprint, sprintf, sprintln } from "./format.ts";
import { goFunctions, isTrue, type TemplateFunctions } from "./functions.ts";

/** The functions of the language itself. Source: Go text/template (funcs.go). */
export const BUILTINS: TemplateFunctions = goFunctions({
  and: ["value ...value", () => undefined], // and `or`: evaluated where they are called
  or: ["value ...value", () => undefined],
  not: ["value", (value: GoValue) => !isTrue(value)],
  call: ["value ...value", call],
  index: ["value ...value", (item: GoValue, ...keys: GoValue[]) => keys.reduce(indexOnce, known(item, "index"))],
  slice: ["value ...value", slice],
  len: ["value", length],
  print: ["...any", (...values: GoValue[]) => sprint(values)],
  println: ["...any", (...values: GoValue[]) => sprintln(values)],
  printf: ["string ...any", (format: string, ...values: GoValue[]) => sprintf(format, values)],
  html: ["...any", (...values: GoValue[]) => escapeHtml(joined(values))],
  js: ["...any", (...values: GoValue[]) => escapeJs(joined(values))],
  urlquery: ["...any", (...values: GoValue[]) => escapeQuery(joined(values))],
  eq: ["value ...value", equal],
  ne: ["value value", (a: GoValue, b: GoValue) => !equal(a, b)],
  lt: ["value value", less],
  le: ["value value", (a: GoValue, b: GoValue) => less(a, b) || equal(a, b)],
  gt: ["value value", (a: GoValue, b: GoValue) => !(less(a, b) || equal(a, b))],
  ge: ["value value", (a: GoValue, b: GoValue) => !less(a, b)],
});

function known(item: GoValue, doing: string): GoValue {
  if (item === undefined || item === null) throw new Error(`${doing} of untyped nil`);
  if (item instanceof GoNil) throw new Error(`${doing} of nil pointer`);
  return item;
}

/** There are no functions among the values: `call` can only say so. In front of its arguments it is given how the first is written. */
function call(written: string, fn: GoValue): never {
  if (fn === undefined || fn === null) throw new Error("call of nil");
  throw new Error(`non-function ${written} of type ${goTypeName(fn)}`);
}

function indexOnce(item: GoValue, key: GoValue): GoValue {
  if (item === null || item === undefined || item instanceof GoNil) throw new Error("index of nil pointer");
  if (Array.isArray(item)) return item[position(key, item.length, "slice")];
  if (typeof item === "string") {
    const bytes = Buffer.from(item);
    return BigInt(bytes[position(key, bytes.length, "string")] ?? 0);
  }
  if (goKind(item) !== "map") throw new Error(`can't index item of type ${pointedType(item)}`);
  if (key === undefined || key === null) throw new Error("value is nil; should be of type string");
  if (typeof key !== "string") throw new Error(`value has type ${goTypeName(key)}; should be string`);
  return Object.hasOwn(item as GoMap, key) ? (item as GoMap)[key] : goZeroElement(item as object);
}

function pointedType(value: GoValue): string {
  return goTypeName(value).replace(/^\*/, "");
}

function position(key: GoValue, length: number, elementOf?: "string" | "slice"): number {
  const at = goInteger(key);
  if (key === undefined || key === null) throw new Error("cannot index slice/array with nil");
  if (at === undefined) throw new Error(`cannot index slice/array with type ${goTypeName(key)}`);
  if (at < 0n || at > BigInt(length)) throw new Error(`index out of range: ${at}`);
  const isBehind = elementOf !== undefined && at === BigInt(length);
  if (isBehind) throw new Error(`reflect: ${elementOf} index out of range`);
  return Number(at);
}

function slice(item: GoValue, ...keys: GoValue[]): GoValue {
  const whole = known(item, "slice");
  if (keys.length > 3) throw new Error(`too many slice indexes: ${keys.length}`);
  const bytes = typeof whole === "string" ? Buffer.from(whole) : whole;
  if (typeof whole === "string" && keys.length === 3) throw new Error("cannot 3-index slice a string");
  if (!Array.isArray(bytes) && !Buffer.isBuffer(bytes))
    throw new Error(`can't slice item of type ${pointedType(whole)}`);
  const [from = 0, to = bytes.length, end = to] = keys.map((key) => position(key, bytes.length));
  if (from > to) throw new Error(`invalid slice index: ${from} > ${to}`);
  if (to > end) throw new Error(`invalid slice index: ${to} > ${end}`);
  const part = bytes.slice(from, to);
  return Array.isArray(part) ? goTyped(part, goTypeName(whole)) : part.toString();
}

function length(item: GoValue): bigint {
  if (item === undefined || item === null || item instanceof GoNil) throw new Error("len of nil pointer");
  if (typeof item === "string") return BigInt(Buffer.byteLength(item));
  if (Array.isArray(item)) return BigInt(item.length);
  if (goKind(item) !== "map") throw new Error(`len of type ${pointedType(item)}`);
  return BigInt(Object.keys(item as object).length);
}

// Comparison

const BASIC = new Set(["bool", "int", "float64", "string"]);

/** Values of a basic kind are equal to those of the same kind; others only where one of them is nil. */
function equal(first: GoValue, ...others: GoValue[]): boolean {
  if (others.length === 0) throw new Error("missing argument for comparison");
  return others.some((other) => equalPair(first ?? undefined, other ?? undefined));
}

function equalPair(a: GoValue, b: GoValue): boolean {
  const [kindA, kindB] = [goKind(a), goKind(b)];
  const isBasic = BASIC.has(kindA) || BASIC.has(kindB);
  if (a === undefined || b === undefined) return isNil(a) && isNil(b);
  if (isBasic && kindA !== kindB) {
    throw new Error(`incompatible types for comparison: ${goTypeName(a)} and ${goTypeName(b)}`);
  }
  if (kindA === "int") return goInteger(a) === goInteger(b);
  if (isBasic) return a === b;
  if (kindA !== kindB) {
    throw new Error(
      `non-comparable types ${sprintf("%s", [a])}: ${goTypeName(a)}, ${goTypeName(b)}: ${formatValue(b)}`,
    );
  }
  if (isNil(a) || isNil(b)) return isNil(a) === isNil(b);
  if (kindA === "slice" || kindA === "map") {
    throw new Error(`non-comparable type ${sprintf("%s", [b])}: ${goTypeName(b)}`);
  }
  return a === b;
}

function isNil(value: GoValue): boolean {
  if (value === undefined || value === null || value instanceof GoNil) return true;
  return typeof value === "object" && isNilCollection(value);
}

function less(a: GoValue, b: GoValue): boolean {
  const [kindA, kindB] = [goKind(a), goKind(b)];
  if (!BASIC.has(kindA) || !BASIC.has(kindB)) throw new Error("invalid type for comparison");
  if (kindA !== kindB) throw new Error(`incompatible types for comparison: ${goTypeName(a)} and ${goTypeName(b)}`);
  if (kindA === "bool") throw new Error("invalid type for comparison");
  if (kindA === "string") return compareTexts(String(a), String(b)) < 0;
  if (kindA === "int") return (goInteger(a) ?? 0n) < (goInteger(b) ?? 0n);
  return (a as number) < (b as number);
}

// Escapes

function joined(values: readonly GoValue[]): string {
  const printed = values.map((value) => (value === null || value instanceof GoStruct ? printable(value) : value));
  return sprint(printed);
}

const HTML: Readonly<Record<string, string>> = {
  ...{ "\0": "\uFFFD", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;" },
};

function escapeHtml(text: string): string {
  return text.replace(/[\0"'&<>]/g, (char) => HTML[char] ?? char);
}

const JS: Readonly<Record<string, string>> = { "\\": "\\\\", "'": "\\'", '"': '\\"' };

function escapeJs(text: string): string {
  return text.replace(/[\\'"<>&=]|[^ \p{L}\p{M}\p{N}\p{P}\p{S}]/gu, (char) => {
    const code = (char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
    return JS[char] ?? `\\u${code}`;
  });
}

function escapeQuery(text: string): string {
  return encodeURIComponent(text)
    .replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll("%20", "+");
}
