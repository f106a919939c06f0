/**
 * The text without its underscores, where Go allows them: between digits, and once after a base prefix. Undefined where
 * it does not (`_1`, `1__0`, `1_`). Source: Go strconv (underscoreOK).
 */
export function dropUnderscores(text: string): string | undefined {
  if (!text.includes("_")) return text;
  const [, prefix = "", body = ""] = /^[+-]?(0[bBoOxX])?(.*)$/s.exec(text) ?? [];
  const digits = /x/i.test(prefix) ? /[\da-fA-F]+/g : /\d+/g;
  const shape = body.replaceAll(digits, "0");
  const isWell = /^(?:[^_]|(?<=0)_(?=0))*$/.test(prefix === "" ? shape : `0${shape}`);
  return isWell ? text.replaceAll("_", "") : undefined;
}

/** Go's strconv.ParseFloat without its infinities and NaN, hexadecimal form included. Undefined for anything else. */
export function parseGoFloat(text: string): number | undefined {
  const plain = dropUnderscores(text);
  if (plain === undefined) return undefined;
  const [, sign, whole = "", fraction = "", exponent] =
    /^([+-]?)0x([\da-f]*)\.?([\da-f]*)p([+-]?\d+)$/i.exec(plain) ?? [];
  const isDecimal = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(plain);
  const digits = `${whole}${fraction}`;
  const isHex = exponent !== undefined && digits !== "" && !/x.*\..*\./i.test(plain);
  if (!isDecimal && !isHex) return undefined;
  const value = isDecimal
    ? Number(plain)
    : Number(`0x${digits}`) * 2 ** (Number(exponent) - 4 * fraction.length) * (sign === "-" ? -1 : 1);
  return Number.isFinite(value) ? value : undefined;
}
