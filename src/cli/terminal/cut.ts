import { faint, partsOf, plain, type Styled, type Text } from "./text.ts";

/** What a text may take of a screen. Undefined where that is unknown: then it takes what it needs. */
export interface Room {
  readonly rows: number | undefined;
  readonly columns: number | undefined;
}

/**
 * As many lines from the beginning as fit into the room, and a last one that says how many more there are. A line that
 * is wider than the screen takes several rows of it.
 */
export function cut(text: Text, { rows, columns }: Room): Text {
  const lines = linesOf(text);
  if (rows === undefined || heightOf(lines, columns) <= rows) return text;
  let kept = lines.length - 1;
  while (kept > 0 && heightOf(lines.slice(0, kept), columns) > rows - 1) kept--;
  const hidden = lines.length - kept;
  const note = `… ${hidden} more line${hidden === 1 ? "" : "s"}: the terminal is too short`;
  const shown = columns === undefined ? note : note.slice(0, columns);
  return [lines.slice(0, kept).map((line) => [line, "\n"]), faint(shown), "\n"];
}

type Line = readonly Styled[];

function heightOf(lines: readonly Line[], columns = Number.POSITIVE_INFINITY): number {
  return lines.reduce((sum, line) => sum + Math.max(1, Math.ceil(plain(line).length / columns)), 0);
}

/** Without their ends. */
function linesOf(text: Text): Line[] {
  const lines: Styled[][] = [[]];
  for (const { text: part, style } of partsOf(text)) {
    const [first = "", ...further] = part.split("\n");
    lines.at(-1)?.push({ text: first, style });
    for (const line of further) lines.push([{ text: line, style }]);
  }
  if (plain(lines.at(-1) ?? []) === "") lines.pop(); // after the last end
  return lines;
}
