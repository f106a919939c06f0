import { escapeLine } from "../../base/index.ts";

/** Markup that may be sent as it is: everything in it that came from outside has been escaped. Only `html` makes it. */
export class Html {
  readonly text: string;

  private constructor(text: string) {
    this.text = text;
  }

  static of(parts: readonly string[], pieces: readonly Piece[]): Html {
    return new Html(parts.reduce((text, part, at) => text + markupOf(pieces[at - 1]) + part));
  }
}

/** What may stand in the holes of a template. `undefined` and `false` leave nothing. */
export type Piece = string | number | Html | undefined | false | readonly Piece[];

/**
 * A template of HTML or SVG. Whatever fills its holes is escaped, as text or as the value of an attribute in double quotes,
 * and characters that move a cursor or turn the direction of text are shown as JSON spells them.
 */
export function html(parts: TemplateStringsArray, ...pieces: readonly Piece[]): Html {
  return Html.of(parts, pieces);
}

function markupOf(piece: Piece): string {
  if (piece === undefined || piece === false) return "";
  if (piece instanceof Html) return piece.text;
  if (typeof piece === "object") return piece.map(markupOf).join("");
  return escapeLine(String(piece)).replace(/[&<>"'`]/g, (found) => `&#${found.charCodeAt(0)};`);
}
