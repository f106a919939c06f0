/**
 * What a terminal, a log viewer or a reader of lines would obey or not show: C0, DEL and C1 controls, format characters
 * (bidirectional overrides, zero-width characters, tags), U+2028 and U+2029, and halves of surrogate pairs. Source: the
 * general categories of Unicode (UAX #44 section 5.7.1).
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

const SHORT: ReadonlyMap<string, string> = new Map([
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
]);

/**
 * Foreign text as a part of one line: `\n`, `\r`, `\t`, and `\u001b` for what else should not reach a screen, as
 * JSON spells them. Escaped text stays as it is, so that one sink may hand it to another.
 */
export function escapeLine(text: string): string {
  return text.replace(UNSAFE, escapeCharacter);
}

/** The same for text of many lines and columns, and for a JSON document, whose values do not change: `\n` and `\t` stay. */
export function escapeText(text: string): string {
  return text.replace(UNSAFE, (found) => (found === "\n" || found === "\t" ? found : escapeCharacter(found)));
}

/** Text that may have several lines as one, without the white space around its line ends. One line stays as it is. */
export function oneLine(text: string, separator: ", " | "; " | " "): string {
  const lines = text.split("\n");
  if (lines.length === 1) return text;
  return lines
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .join(separator);
}

function escapeCharacter(character: string): string {
  const units = Array.from({ length: character.length }, (_, at) => character.charCodeAt(at));
  return SHORT.get(character) ?? units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
}
