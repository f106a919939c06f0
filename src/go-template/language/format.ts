import { GoInt, GoNil, GoStruct, type GoValue, goInteger, goKind, goTypeName, isNilCollection } from "../go-value.ts";
import { formatGoFloat } from "./format-float.ts";

/** Go's `fmt.Sprint`: a space stands between two values neither of which is a string. */
export function sprint(values: readonly GoValue[]): string {
  return values
    .map((value, at) => {
      const isApart = at > 0 && typeof value !== "string" && typeof values[at - 1] !== "string";
      return (isApart ? " " : "") + formatValue(value);
    })
    .join("");
}

/** Go's `fmt.Sprintln`. */
export function sprintln(values: readonly GoValue[]): string {
  return `${values.map((value) => formatValue(value)).join(" ")}\n`;
}

/** Go's `%v`; with `isPlus` fields have names, as `%+v` gives them. */
export function formatValue(value: GoValue, isPlus = false): string {
  return formatNested(value, scalarText, isPlus, 0);
}

/** What an action prints: what a pointer leads to, and a word of its own for no value. */
export function printable(value: GoValue): string {
  if (value === undefined || value === null) return "<no value>";
  return value instanceof GoStruct ? formatValue(value).replace(/^&/, "") : formatValue(value);
}

/** A value, the scalars in it by `scalar`: maps and structs have `%v` around what other verbs print. */
function formatNested(value: GoValue, scalar: (value: GoValue) => string, isPlus: boolean, depth: number): string {
  const nested = (one: GoValue): string =>
    one === null || one === undefined ? "<nil>" : formatNested(one, scalar, isPlus, depth + 1);
  if (Array.isArray(value)) return `[${value.map(nested).join(" ")}]`;
  if (value instanceof GoStruct) {
    const isPointer = value.type.name.startsWith("*");
    if (isPointer && depth > 0) return scalar(value);
    const fields = Object.entries(value.fields).map(([name, field]) => (isPlus ? `${name}:` : "") + nested(field));
    return `${isPointer ? "&" : ""}{${fields.join(" ")}}`;
  }
  if (goKind(value) !== "map") return scalar(value);
  const entries = sortedEntries(value as object).map(([key, one]) => `${scalar(key)}:${nested(one)}`);
  return `map[${entries.join(" ")}]`;
}

/** The entries of a map in the order of the bytes of their keys. */
export function sortedEntries(map: object): (readonly [string, GoValue])[] {
  return Object.entries(map).sort(([a], [b]) => compareTexts(a, b));
}

/** As Go compares strings: by bytes. */
export function compareTexts(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** A value that is no collection, as `%v` prints it. */
function scalarText(value: GoValue): string {
  if (value === undefined || value === null || value instanceof GoNil) return "<nil>";
  if (typeof value === "number") return formatGoFloat(value, "g", undefined);
  return value instanceof GoStruct ? ADDRESS : String(value);
}

/** Where a pointer within a value leads to; Go prints another at each run. */
const ADDRESS = "0xc000000000";

const VERB = /%([-+# 0]*)(\*|\d+)?(?:\.(\*|\d+)?)?(?:\[(\d+)\])?(.|\n|$)/gsu;

/** Go's `fmt.Sprintf`, with its remarks on what does not fit (`%!d(string=hi)`). */
export function sprintf(format: string, values: readonly GoValue[]): string {
  let next = 0;
  let isReordered = false;
  const number = (text: string | undefined): number | undefined =>
    text === "*" ? Number(goInteger(values[next++]) ?? 0) : text === undefined ? undefined : Number(text);
  const text = format.replace(
    VERB,
    (
      all,
      flags: string,
      width: string | undefined,
      precision: string | undefined,
      place: string | undefined,
      verb: string,
    ) => {
      const wanted = number(width);
      const isPrecise = /\.(?:\*|\d*)\D?$/su.test(all) && all.includes(".");
      const digits = precision === undefined && isPrecise && verb !== "." ? 0 : number(precision);
      if (place !== undefined) [next, isReordered] = [Number(place) - 1, true];
      if (verb === "") return "%!(NOVERB)";
      if (verb === "%") return "%";
      if (next >= values.length) return `%!${verb}(${isReordered ? "BADINDEX" : "MISSING"})`;
      return formatVerb(values[next++], { verb, flags, width: wanted, precision: digits });
    },
  );
  const extra = values
    .slice(next)
    .map((value) => (value === null ? "<nil>" : `${goTypeName(value)}=${formatValue(value)}`));
  return extra.length === 0 || isReordered ? text : `${text}%!(EXTRA ${extra.join(", ")})`;
}

interface Verb {
  readonly verb: string;
  readonly flags: string;
  readonly width: number | undefined;
  readonly precision: number | undefined;
}

function formatVerb(value: GoValue, how: Verb): string {
  if (how.verb === "T") return pad(value === null || value === undefined ? "<nil>" : goTypeName(value), how);
  if (value === null || value === undefined) {
    return how.verb === "v" ? pad("<nil>", how) : `%!${how.verb}(<nil>)`;
  }
  if (how.verb !== "v") return formatNested(value, (one) => scalarVerb(one, how), false, 0);
  if (how.flags.includes("#")) return pad(goSyntax(value), how);
  const plain = { ...how, flags: how.flags.replaceAll("+", "") };
  return formatNested(value, (one) => scalarVerb(one, plain), how.flags.includes("+"), 0);
}

function scalarVerb(value: GoValue, how: Verb): string {
  const { verb } = how;
  if (value instanceof GoNil || value instanceof GoStruct) {
    if (verb === "v") return pad(scalarText(value), how);
    return /[bodxX]/.test(verb) && value instanceof GoNil
      ? padNumber(signOf(false, how.flags), "0", how)
      : wrongVerb(value, how);
  }
  const isEnum = value instanceof GoInt && value.enumName !== undefined && /[vsqxX]/.test(verb);
  if (typeof value === "string" || isEnum) return textVerb(String(value), how);
  if (typeof value === "boolean") return /[tv]/.test(verb) ? pad(String(value), how) : wrongVerb(value, how);
  const integer = goInteger(value);
  if (integer !== undefined) return integerVerb(value, integer, how);
  return typeof value === "number" ? floatVerb(value, how) : wrongVerb(value, how);
}

function wrongVerb(value: GoValue, how: Verb): string {
  const shown = { ...how, verb: "v" };
  const isNumber = goKind(value) === "int" || goKind(value) === "float64";
  return `%!${how.verb}(${goTypeName(value)}=${isNumber ? scalarVerb(value, shown) : formatVerb(value, shown)})`;
}

function textVerb(value: string, how: Verb): string {
  const { verb, flags, precision } = how;
  const kept = precision === undefined ? value : [...value].slice(0, precision).join("");
  if (verb === "v" || verb === "s") return pad(kept, how);
  if (verb === "q") return pad(flags.includes("#") && !/[`\n]/.test(kept) ? `\`${kept}\`` : goQuote(kept), how);
  if (!/[xX]/.test(verb)) return wrongVerb(value, how);
  const hex = Buffer.from(kept).toString("hex");
  const spaced = flags.includes(" ") ? hex.replace(/(..)(?=.)/g, "$1 ") : hex;
  return pad(verb === "X" ? spaced.toUpperCase() : spaced, how);
}

function characterOf(code: bigint): string {
  return code < 0n || code > 0x10ffffn ? "\uFFFD" : String.fromCodePoint(Number(code));
}

const BASES: Readonly<Record<string, number>> = { d: 10, v: 10, b: 2, o: 8, O: 8, x: 16, X: 16 };

function integerVerb(value: GoValue, integer: bigint, how: Verb): string {
  const { verb, flags, precision } = how;
  if (verb === "c") return pad(characterOf(integer), how);
  if (verb === "q") return pad(goQuote(characterOf(integer), "'"), how);
  if (verb === "U") return pad(`U+${BigInt.asUintN(64, integer).toString(16).toUpperCase().padStart(4, "0")}`, how);
  const base = BASES[verb];
  if (base === undefined) return wrongVerb(value, how);
  const digits = (integer < 0n ? -integer : integer).toString(base).padStart(precision ?? 0, "0");
  const prefix = flags.includes("#") ? ({ b: "0b", o: "0", x: "0x", X: "0X" }[verb] ?? "") : verb === "O" ? "0o" : "";
  return padNumber(signOf(integer < 0n, flags), prefix + (verb === "X" ? digits.toUpperCase() : digits), how);
}

function floatVerb(value: number, how: Verb): string {
  const { verb, flags, precision } = how;
  if (!/[vgGeEfF]/.test(verb)) return wrongVerb(value, how);
  const shape = verb === "v" ? "g" : verb.toLowerCase();
  const text = formatGoFloat(Math.abs(value), shape as "e" | "f" | "g", precision ?? (shape === "g" ? undefined : 6));
  const isNegative = value < 0 || Object.is(value, -0);
  return padNumber(signOf(isNegative, flags), /[GE]/.test(verb) ? text.toUpperCase() : text, how);
}

function signOf(isNegative: boolean, flags: string): string {
  if (isNegative) return "-";
  return flags.includes("+") ? "+" : flags.includes(" ") ? " " : "";
}

/** Zeros stand behind the sign, and are not for a number with a precision. */
function padNumber(sign: string, digits: string, how: Verb): string {
  const hasZeros = how.flags.includes("0") && !how.flags.includes("-") && how.width !== undefined;
  const isInteger = !/[vgGeEfF]/.test(how.verb);
  if (!hasZeros || (isInteger && how.precision !== undefined)) return pad(sign + digits, how);
  return sign + digits.padStart((how.width ?? 0) - sign.length, "0");
}

function pad(text: string, { flags, width = 0, verb }: Verb): string {
  const missing = Math.max(width - [...text].length, 0);
  if (flags.includes("-")) return text + " ".repeat(missing);
  return (flags.includes("0") && /[sqvxX]/.test(verb) ? "0" : " ").repeat(missing) + text;
}

/** Go's `%q`. */
export function goQuote(text: string, quote = '"'): string {
  const named: Readonly<Record<string, string>> = { "\x07": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r" };
  const more: Readonly<Record<string, string>> = { "\t": "\\t", "\v": "\\v", [quote]: `\\${quote}`, "\\": "\\\\" };
  const escaped = [...text].map((char) => {
    const known = named[char] ?? more[char];
    if (known !== undefined) return known;
    if (char === " " || /[\p{L}\p{M}\p{N}\p{P}\p{S}]/u.test(char)) return char;
    const code = char.codePointAt(0) ?? 0;
    if (code < 0x80) return `\\x${code.toString(16).padStart(2, "0")}`;
    const hex = code.toString(16);
    return code > 0xffff ? `\\U${hex.padStart(8, "0")}` : `\\u${hex.padStart(4, "0")}`;
  });
  return quote + escaped.join("") + quote;
}

/** Go's `%#v`. */
function goSyntax(value: GoValue, depth = 0): string {
  if (value === null || value === undefined) return "interface {}(nil)";
  if (typeof value === "string") return goQuote(value);
  const type = goTypeName(value);
  if (value instanceof GoNil) return `(${type})(nil)`;
  if (typeof value === "object" && isNilCollection(value)) return `${type}(nil)`;
  const inner = (one: GoValue): string => goSyntax(one, depth + 1);
  if (Array.isArray(value)) return `${type}{${value.map(inner).join(", ")}}`;
  if (value instanceof GoStruct) {
    if (depth > 0 && type.startsWith("*")) return `(${type})(${ADDRESS})`;
    const fields = Object.entries(value.fields).map(([name, field]) => `${name}:${inner(field)}`);
    return `${type.replace("*", "&")}{${fields.join(", ")}}`;
  }
  if (goKind(value) !== "map") return scalarText(value);
  const entries = sortedEntries(value as object).map(([key, one]) => `${goQuote(key)}:${inner(one)}`);
  return `${type}{${entries.join(", ")}}`;
}
