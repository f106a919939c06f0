import { type GoValue, goTyped } from "../go-value.ts";
import { formatValue, goQuote } from "../language/format.ts";
import { goFunctions } from "../language/functions.ts";
import { toText } from "./cast.ts";

const MOST_CHARACTERS = 10_000_000;

/** Source: Masterminds/sprig strings.go, functions.go. */
export const TEXTS = goFunctions({
  hello: ["", () => "Hello!"],
  trim: ["string", (text: string) => text.replace(/^[\s\u0085]+|[\s\u0085]+$/gu, "")],
  trimAll: ["string string", (set: string, text: string) => trimSet(set, text)],
  trimPrefix: [
    "string string",
    (prefix: string, text: string) => (text.startsWith(prefix) ? text.slice(prefix.length) : text),
  ],
  trimSuffix: [
    "string string",
    (suffix: string, text: string) => (text.endsWith(suffix) ? text.slice(0, text.length - suffix.length) : text),
  ],
  upper: ["string", (text: string) => [...text].map(upperOf).join("")],
  lower: ["string", (text: string) => text.toLowerCase()],
  title: ["string", (text: string) => text.replace(/(?<![\p{L}\p{Nd}_'])\p{L}/gu, upperOf)],
  untitle: ["string", (text: string) => text.replace(/(?<!\S)\S/gu, (char) => char.toLowerCase())],
  repeat: ["int string", repeat],
  substr: ["int int string", substring],
  trunc: ["int string", truncate],
  nospace: ["string", (text: string) => text.replace(/\s/gu, "")],
  contains: ["string string", (part: string, text: string) => text.includes(part)],
  hasPrefix: ["string string", (prefix: string, text: string) => text.startsWith(prefix)],
  hasSuffix: ["string string", (suffix: string, text: string) => text.endsWith(suffix)],
  replace: ["string string string", (old: string, by: string, text: string) => replaceAll(text, old, by)],
  quote: [
    "...any",
    (...values: GoValue[]) =>
      present(values)
        .map((value) => goQuote(toText(value)))
        .join(" "),
  ],
  squote: [
    "...any",
    (...values: GoValue[]) =>
      present(values)
        .map((value) => `'${formatValue(value)}'`)
        .join(" "),
  ],
  cat: [
    "...any",
    (...values: GoValue[]) =>
      present(values)
        .map((value) => formatValue(value))
        .join(" "),
  ],
  indent: ["int string", indent],
  nindent: ["int string", (spaces: bigint, text: string) => `\n${indent(spaces, text)}`],
  split: ["string string", (separator: string, text: string) => numbered(text.split(separator))],
  splitn: [
    "string int string",
    (separator: string, most: bigint, text: string) => numbered(splitMost(text, separator, Number(most))),
  ],
});

/** The character by itself where it would become several. */
function upperOf(char: string): string {
  const upper = char.toUpperCase();
  return [...upper].length === 1 ? upper : char;
}

function trimSet(set: string, text: string): string {
  const chars = [...text];
  const isInSet = (char: string | undefined): boolean => char !== undefined && [...set].includes(char);
  let [from, to] = [0, chars.length];
  while (from < to && isInSet(chars[from])) from++;
  while (to > from && isInSet(chars[to - 1])) to--;
  return chars.slice(from, to).join("");
}

function repeat(count: bigint, text: string): string {
  if (count < 0n) throw new Error("strings: negative Repeat count");
  if (BigInt(text.length) * count > MOST_CHARACTERS)
    throw new Error(`a text of ${BigInt(text.length) * count} characters is too long`);
  return text.repeat(Number(count));
}

/** Places in a text are places of bytes. */
function substring(from: bigint, to: bigint, text: string): string {
  const bytes = Buffer.from(text);
  const end = to < 0n || to > bytes.length ? bytes.length : Number(to);
  if (from < 0n && (to < 0n || to > bytes.length)) throw outOfRange(`[:${to}]`, bytes);
  if (from > end) throw outOfRange(`[${from}:${end}]`, bytes);
  return bytes.subarray(from < 0n ? 0 : Number(from), end).toString();
}

function outOfRange(places: string, bytes: Buffer): Error {
  return new Error(`runtime error: slice bounds out of range ${places} with length ${bytes.length}`);
}

function truncate(count: bigint, text: string): string {
  const bytes = Buffer.from(text);
  const kept = Number(count);
  if (kept < 0 && bytes.length + kept > 0) return bytes.subarray(bytes.length + kept).toString();
  return kept >= 0 && bytes.length > kept ? bytes.subarray(0, kept).toString() : text;
}

function replaceAll(text: string, old: string, by: string): string {
  if (old !== "") return text.split(old).join(by);
  return by + [...text].map((char) => char + by).join("");
}

function present(values: readonly GoValue[]): GoValue[] {
  return values.filter((value) => value !== undefined && value !== null);
}

function indent(spaces: bigint, text: string): string {
  if (spaces < 0n) throw new Error("strings: negative Repeat count");
  const pad = " ".repeat(Number(spaces));
  return pad + text.replaceAll("\n", `\n${pad}`);
}

function numbered(parts: readonly string[]): GoValue {
  return goTyped(Object.fromEntries(parts.map((part, at) => [`_${at}`, part])), "map[string]string");
}

function splitMost(text: string, separator: string, most: number): readonly string[] {
  const parts = text.split(separator);
  if (most === 0) return [];
  if (most < 0 || parts.length <= most) return parts;
  return [...parts.slice(0, most - 1), parts.slice(most - 1).join(separator)];
}
