import { escapeLine } from "../base/index.ts";
import type { Table } from "./dump.ts";

/** In columns as wide as their longest cell, as Go's text/tabwriter lays them: the last one is not filled up. */
export function tableText({ head, rows, gap }: Table): string {
  const lines = [head, ...rows].map((row) => row.map(escapeLine));
  const widths = head.map((_, column) => lines.reduce((most, row) => Math.max(most, lengthOf(row[column] ?? "")), 0));
  return lines.map((row) => `${row.map((cell, at) => filled(cell, at, row.length)).join("")}\n`).join("");

  function filled(cell: string, column: number, count: number): string {
    return column === count - 1 ? cell : cell + " ".repeat((widths[column] ?? 0) - lengthOf(cell) + gap);
  }
}

const lengthOf = (cell: string): number => [...cell].length;
