import { isTree } from "../pod/json.ts";
import { styleOf, writeFolded, writeLiteral, writeQuoted, writeSingle } from "./yaml-scalar-text.ts";

/**
 * A value of JSON as sigs.k8s.io/yaml writes it: keys in their natural order, lists at the indent of their key, quotes only
 * where they are needed, lines folded beyond 80 columns. Source: go.yaml.in/yaml/v2 (emitterc.go, encode.go, sorter.go).
 */
export function yamlText(value: unknown): string {
  const nested = collectionLines(value, 0);
  return nested === undefined ? `${scalarText(value, 2, 0)}\n` : `${nested.join("\n")}\n`;
}

/** The lines of what is a collection with something in it. */
function collectionLines(value: unknown, indent: number): readonly string[] | undefined {
  if (Array.isArray(value) && value.length > 0) {
    return value.flatMap((item) => {
      const [first = "", ...rest] = collectionLines(item, indent + 2) ?? [scalarText(item, indent + 2, indent + 2)];
      return [`${" ".repeat(indent)}- ${first.trimStart()}`, ...rest];
    });
  }
  if (!isTree(value) || Object.keys(value).length === 0) return undefined;
  return Object.keys(value)
    .sort(compareKeys)
    .flatMap((key) => memberLines(key, value[key], indent));
}

function memberLines(key: string, value: unknown, indent: number): readonly string[] {
  const name = `${" ".repeat(indent)}${keyText(key)}:`;
  const nested = collectionLines(value, Array.isArray(value) ? indent : indent + 2);
  return nested === undefined ? [`${name} ${scalarText(value, indent + 2, name.length + 1)}`] : [name, ...nested];
}

/** A key stands on one line, whatever it is. */
function keyText(key: string): string {
  const style = styleOf(key, true);
  if (style === "plain") return key;
  return style === "single" ? writeSingle(key, Number.POSITIVE_INFINITY, 0, 0) : writeQuoted(key, 0, 0, false);
}

function scalarText(value: unknown, indent: number, column: number): string {
  if (Array.isArray(value)) return "[]";
  if (isTree(value)) return "{}";
  if (typeof value === "number") return numberText(value);
  if (typeof value !== "string") return String(value);
  switch (styleOf(value, false)) {
    case "plain":
      return writeFolded(value, indent, column);
    case "single":
      return writeSingle(value, 80, indent, column);
    case "literal":
      return writeLiteral(value, indent);
    default:
      return writeQuoted(value, indent, column, true);
  }
}

function numberText(value: number): string {
  return String(value).replace(/e([+-])(\d)$/, "e$10$2");
}

const isDigit = (char: string | undefined): boolean => char !== undefined && /\p{Nd}/u.test(char);
const isLetter = (char: string | undefined): boolean => char !== undefined && /\p{L}/u.test(char);

/** Numbers within keys count as numbers; other characters come before letters. */
function compareKeys(a: string, b: string): number {
  const [left, right] = [[...a], [...b]];
  let at = 0;
  while (at < left.length && at < right.length && left[at] === right[at]) at++;
  const [one, other] = [left[at], right[at]];
  if (one === undefined || other === undefined) return left.length - right.length;
  if (isLetter(one) && isLetter(other)) return one < other ? -1 : 1;
  if (isLetter(one) || isLetter(other)) return isLetter(other) ? -1 : 1;
  const [own, its] = [digitsAt(left, at), digitsAt(right, at)];
  const isWithin = (one === "0" || other === "0") && /[1-9]\p{Nd}*$/u.test(left.slice(0, at).join(""));
  const first = isWithin ? "1" : "";
  if (Number(first + own) !== Number(first + its)) return Number(first + own) - Number(first + its);
  return own.length === its.length ? (one < other ? -1 : 1) : own.length - its.length;
}

function digitsAt(chars: readonly string[], at: number): string {
  let end = at;
  while (isDigit(chars[end])) end++;
  return chars.slice(at, end).join("");
}
