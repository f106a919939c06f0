import { partsOf, plain, type Styled, strong, type Text } from "./text.ts";

export type Row = readonly [name: Text, value: Text];

export interface TableOptions {
  /** Columns there are; undefined for as many as it takes. */
  readonly width: number | undefined;
  /** Columns before each line; default 0. */
  readonly indent?: number;
  /** Columns for the names at least; default: as long as the longest. */
  readonly nameWidth?: number;
}

const GAP = 2;
/** A value is not squeezed into fewer columns: it goes below its name. */
const LEAST_VALUE = 24;
/** How far a value below its name stands in. */
const STEP = 2;

/** Names and values in two columns. Where that does not fit, values are wrapped, and long ones go below their name. */
export function nameTable(rows: readonly Row[], { width, indent = 0, nameWidth = 0 }: TableOptions): Text {
  const names = Math.max(nameWidth, ...rows.map(([name]) => lengthOf(name)));
  const left = width === undefined ? undefined : width - indent - names - GAP;
  const margin = " ".repeat(indent);
  return rows.map(([name, value]) => {
    const fits = left === undefined || lengthOf(value) <= left || (left >= LEAST_VALUE && longestWord(value) <= left);
    if (width !== undefined && !fits) {
      const head = lengthOf(name) === 0 ? [] : wrap(name, width - indent).map((line) => [margin, line, "\n"]);
      const below = wrap(value, width - indent - STEP);
      return [head, ...below.map((line) => [margin, " ".repeat(STEP), line, "\n"])];
    }
    const [first = "", ...more] = wrap(value, left);
    const pad = " ".repeat(names - lengthOf(name) + GAP);
    const rest = more.map((line) => [margin, " ".repeat(names + GAP), line, "\n"]);
    return [margin, name, plain(first) === "" ? "" : [pad, first], "\n", ...rest];
  });
}

/** A head and rows in columns; where they do not fit, one block per row, in which each value has its head as name. */
export function columnTable(head: readonly string[], rows: readonly (readonly Text[])[], width?: number): Text {
  const all = [head.map(strong), ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => lengthOf(row[column] ?? ""))));
  const total = widths.reduce((sum, one) => sum + one + GAP, -GAP);
  if (width !== undefined && total > width) {
    return rows.map((row, at) => [at === 0 ? "" : "\n", nameTable(zip(head, row), { width })]);
  }
  return all.map((row) => {
    const cells = row.map((cell, column) => {
      const isLast = column === row.length - 1;
      return isLast ? cell : [cell, " ".repeat((widths[column] ?? 0) - lengthOf(cell) + GAP)];
    });
    return [cells, "\n"];
  });
}

function zip(head: readonly string[], row: readonly Text[]): Row[] {
  return head.map((name, column) => [strong(name), row[column] ?? ""]);
}

/** The text in lines of at most `width` columns, broken at spaces; a word that is longer is broken anywhere. */
export function wrap(text: Text, width: number | undefined): Text[] {
  if (width === undefined || lengthOf(text) <= width) return [text];
  const lines: Text[][] = [[]];
  let used = 0;
  for (const { text: word, style } of wordsOf(text)) {
    for (const [at, piece] of pieces(word, width).entries()) {
      const isSpace = /^ +$/.test(piece);
      if (used + lengthOf(piece) > width || at > 0) {
        lines.push([]);
        used = 0;
      }
      if (isSpace && used === 0) continue; // at which the line was broken
      lines.at(-1)?.push({ text: piece, style });
      used += lengthOf(piece);
    }
  }
  return lines.map(withoutLastSpace).filter((line) => line.length > 0);
}

/** Words, and the spaces between them. */
function wordsOf(text: Text): Styled[] {
  return partsOf(text).flatMap((part) => part.text.split(/( +)/).map((word) => ({ text: word, style: part.style })));
}

function withoutLastSpace(line: Text[]): Text[] {
  return /^ +$/.test(plain(line.at(-1) ?? "")) ? line.slice(0, -1) : line;
}

function pieces(word: string, width: number): string[] {
  const characters = [...word];
  const count = Math.max(1, Math.ceil(characters.length / width));
  return Array.from({ length: count }, (_, at) => characters.slice(at * width, (at + 1) * width).join(""));
}

function longestWord(text: Text): number {
  return Math.max(...plain(text).split(" ").map(lengthOf));
}

function lengthOf(text: Text): number {
  return [...plain(text)].length;
}
