import { escapeText } from "../../base/index.ts";

/** What a part of a text means to its reader; a terminal with colours shows it. */
export type Style = "good" | "warning" | "bad" | "strong" | "faint";

export interface Styled {
  readonly text: string;
  readonly style: Style | undefined;
}

/** Text to print. Colours are not characters of it, so quoted text cannot add any. */
export type Text = string | Styled | readonly Text[];

export const good = (text: string): Styled => ({ text, style: "good" });
export const warning = (text: string): Styled => ({ text, style: "warning" });
export const bad = (text: string): Styled => ({ text, style: "bad" });
export const strong = (text: string): Styled => ({ text, style: "strong" });
export const faint = (text: string): Styled => ({ text, style: "faint" });

/** The parts of a text, in order. */
export function partsOf(text: Text): readonly Styled[] {
  if (typeof text === "string") return [{ text, style: undefined }];
  return "style" in text ? [text] : text.flatMap(partsOf);
}

/** The text without styles. */
export function plain(text: Text): string {
  return partsOf(text)
    .map((part) => part.text)
    .join("");
}

/** SGR parameters: ECMA-48 section 8.3.117. */
const CODES: Readonly<Record<Style, readonly [on: number, off: number]>> = {
  good: [32, 39],
  warning: [33, 39],
  bad: [31, 39],
  strong: [1, 22],
  faint: [2, 22],
};

/** The text with its colours, everything else in it escaped; as bytes, because a string would be escaped once more. */
export function coloured(text: Text): Buffer {
  const shown = partsOf(text).map((part) => {
    const safe = escapeText(part.text);
    if (part.style === undefined || safe === "") return safe;
    const [on, off] = CODES[part.style];
    return `\u001b[${on}m${safe}\u001b[${off}m`;
  });
  return Buffer.from(shown.join(""));
}
