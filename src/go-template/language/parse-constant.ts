import { dropUnderscores, parseGoFloat } from "../../base/index.ts";
import type { Token } from "./lex.ts";
import type { NumberNode } from "./nodes.ts";
import { TemplateError } from "./template-error.ts";

const SIMPLE: Readonly<Record<string, string>> = {
  ...{ a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v", "\\": "\\" },
  ...{ "'": "'", '"': '"' },
};

/** A string constant without its quotes. Throws TemplateError for an escape that Go does not know. */
export function parseString({ text, line }: Token): string {
  return text.startsWith("`") ? text.slice(1, -1).replaceAll("\r", "") : unescaped(text.slice(1, -1), '"', line);
}

/** `'a'` is the number of its character. */
export function parseChar({ text, line }: Token): NumberNode {
  const [char, ...more] = [...unescaped(text.slice(1, -1), "'", line)];
  if (char === undefined || more.length > 0) throw new TemplateError(`malformed character constant: ${text}`, line);
  const code = char.codePointAt(0) ?? 0;
  return { kind: "number", text, int: BigInt(code), float: code };
}

/** A number has the types that it fits: `1.0` is an int, too, where one is wanted. */
export function parseNumber({ text, line }: Token): NumberNode {
  const int = parseInteger(text);
  const float = int === undefined && !/^[+-]?0\d+$/.test(text) ? parseGoFloat(text) : Number(int ?? Number.NaN);
  if (int === undefined && (float === undefined || Number.isNaN(float)))
    throw new TemplateError(`bad number syntax: "${text}"`, line);
  const isWhole = int === undefined && Number.isInteger(float);
  return { kind: "number", text, int: isWhole ? BigInt(float ?? 0) : int, float };
}

/** Go's strconv.ParseInt with base 0; undefined for anything else. */
export function parseInteger(text: string): bigint | undefined {
  const [, sign, digits = ""] = /^([+-]?)(.*)$/s.exec(dropUnderscores(text) ?? "") ?? [];
  const octal = /^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits;
  if (!/^(?:\d+|0[xX][\da-fA-F]+|0[oO][0-7]+|0[bB][01]+)$/.test(octal) || /^0\d/.test(octal)) return undefined;
  return sign === "-" ? -BigInt(octal) : BigInt(octal);
}

function unescaped(body: string, quote: string, line: number): string {
  const pattern = /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{3})|(.))/gsu;
  const bytes: Buffer[] = [];
  let from = 0;
  for (const found of body.matchAll(pattern)) {
    const [all, hex, short, long, octal, simple] = found;
    bytes.push(Buffer.from(body.slice(from, found.index)));
    from = found.index + all.length;
    const code = short ?? long;
    if (code !== undefined) bytes.push(Buffer.from(String.fromCodePoint(Number.parseInt(code, 16))));
    else if (hex !== undefined) bytes.push(Buffer.from(hex, "hex"));
    else if (octal !== undefined) bytes.push(Buffer.from([Number.parseInt(octal, 8)]));
    else bytes.push(Buffer.from(simpleEscape(simple ?? "", quote, line)));
  }
  return Buffer.concat([...bytes, Buffer.from(body.slice(from))]).toString();
}

function simpleEscape(char: string, quote: string, line: number): string {
  const value = Object.hasOwn(SIMPLE, char) ? SIMPLE[char] : undefined;
  const isOtherQuote = /['"]/.test(char) && char !== quote;
  if (value === undefined || isOtherQuote) throw new TemplateError("invalid syntax", line);
  return value;
}
