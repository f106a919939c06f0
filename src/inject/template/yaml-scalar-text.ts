const WIDTH = 80;

export type ScalarStyle = "plain" | "single" | "literal" | "double";

/** What YAML 1.1 would not read as a text. */
const OTHER_TYPES: readonly RegExp[] = [
  /^(?:~|null|Null|NULL|)$/,
  /^(?:y|Y|yes|Yes|YES|on|On|ON|true|True|TRUE|n|N|no|No|NO|off|Off|OFF|false|False|FALSE)$/,
  /^[-+]?(?:\.[\d_]+|\d[\d_]*(?:\.[\d_]*)?)(?:[eE][-+]?\d+)?$/,
  /^[-+]?0(?:b[01_]+|x[\da-fA-F_]+|o[0-7_]+)$/,
  /^[-+]?\d[\d_]*(?::[0-5]?\d)+(?:\.[\d_]*)?$/,
  /^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$/,
  /^\d{4}-\d\d?-\d\d?(?:(?:[Tt]|[ \t]+)\d\d?:\d\d:\d\d(?:\.\d*)?(?:Z|[ \t]*[-+]\d\d?(?::\d\d)?)?)?$/,
];

/** What is printed as it is, in the words of YAML; a tab is not, nor what is beyond 16 bits. */
const SPECIAL = /[^\n\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd]/u;
const INDICATOR = /^(?:[#,[\]{}&*!|>'"%@`]|[-?:](?:\s|$)|---|\.\.\.)|:(?:\s|$)|\s#/;

/** How a text is written, as a key or as a value. Source: go.yaml.in/yaml/v2 (yaml_emitter_analyze_scalar, stringv). */
export function styleOf(text: string, isKey: boolean): ScalarStyle {
  if (OTHER_TYPES.some((pattern) => pattern.test(text))) return "double";
  const isSpecial = SPECIAL.test(text) || / \n/.test(text);
  if (text.includes("\n")) return isSpecial || isKey || text.endsWith(" ") ? "double" : "literal";
  if (isSpecial) return "double";
  return INDICATOR.test(text) || /^\s|\s$/.test(text) ? "single" : "plain";
}

/** A plain text, with a new line for a single space beyond the width. */
export function writeFolded(text: string, indent: number, column: number): string {
  return folded(text, text, WIDTH, indent, column);
}

export function writeSingle(text: string, width: number, indent: number, column: number): string {
  return `'${folded(text.replaceAll("'", "''"), text, width, indent, column + 1)}'`;
}

/** A space that stands alone, and neither first nor last, may become a new line. */
function folded(written: string, text: string, width: number, indent: number, column: number): string {
  let at = column;
  let result = "";
  const chars = [...written];
  for (const [index, char] of chars.entries()) {
    const isAlone = char === " " && chars[index - 1] !== " " && chars[index + 1] !== " ";
    if (isAlone && at > width && index > 0 && index < chars.length - 1 && text !== "") {
      result += `\n${" ".repeat(indent)}`;
      at = indent;
    } else {
      result += char;
      at++;
    }
  }
  return result;
}

/** `|` with a number where the first line would hide its indent, and with what becomes of the line breaks at the end. */
export function writeLiteral(text: string, indent: number): string {
  const hint = /^[ \n]/.test(text) ? "2" : "";
  const chomp = !text.endsWith("\n") ? "-" : text === "\n" || text.endsWith("\n\n") ? "+" : "";
  const lines = (text.endsWith("\n") ? text.slice(0, -1) : text).split("\n");
  const pad = " ".repeat(indent);
  return `|${hint}${chomp}\n${lines.map((line) => (line === "" ? "" : pad + line)).join("\n")}`;
}

const ESCAPES: Readonly<Record<string, string>> = {
  ...{ "\0": "\\0", "\x07": "\\a", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\v": "\\v", "\f": "\\f", "\r": "\\r" },
  ...{ "\x1b": "\\e", '"': '\\"', "\\": "\\\\", "\x85": "\\N", "\xa0": "\\_", "\u2028": "\\L", "\u2029": "\\P" },
};

export function writeQuoted(text: string, indent: number, column: number, isFolded: boolean): string {
  const chars = [...text];
  let at = column + 1;
  let result = "";
  for (const [index, char] of chars.entries()) {
    const isBetween = index > 0 && index < chars.length - 1;
    if (isFolded && char === " " && isBetween && at > WIDTH && chars[index - 1] !== " ") {
      result += `\n${" ".repeat(indent)}${chars[index + 1] === " " ? "\\" : ""}`;
      at = indent;
      continue;
    }
    const written = ESCAPES[char] ?? (SPECIAL.test(char) ? escaped(char) : char);
    result += written;
    at += written.length;
  }
  return `"${result}"`;
}

function escaped(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  const hex = code.toString(16).toUpperCase();
  if (code <= 0xff) return `\\x${hex.padStart(2, "0")}`;
  return code <= 0xffff ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
}
