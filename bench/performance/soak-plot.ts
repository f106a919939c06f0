import { plotSvg } from "./plot.ts";

/** Means of one stretch of time. */
export interface SoakPoint {
  readonly atS: number;
  readonly rssMb: number;
  readonly anonymousMb: number;
  /** Per cent of a core. */
  readonly cpuPercent: number;
  readonly handles: number;
  /** Of the tiny requests: how late the agent is. */
  readonly delayP99Ms: number;
}

export interface SoakResult {
  readonly name: string;
  readonly points: readonly SoakPoint[];
  /** After the warm-up. */
  readonly mbPerHour: number;
  readonly mbPerHourError: number;
  readonly delayP50Ms: number;
  readonly delayP99Ms: number;
  readonly done: Readonly<Record<string, number>>;
}

const PANELS: readonly (readonly [title: string, value: (point: SoakPoint) => number])[] = [
  ["resident memory, MB", ({ rssMb }) => rssMb],
  ["processor, % of a core", ({ cpuPercent }) => cpuPercent],
  ["open handles", ({ handles }) => handles],
  ["delay of a tiny request, p99, ms", ({ delayP99Ms }) => delayP99Ms],
];

export function soakPlot(results: readonly SoakResult[]): string {
  const panels = PANELS.map(([title, value]) => ({
    title,
    lines: results.map(({ name, points }) => ({
      name,
      points: points.map((point) => [point.atS / 60, value(point)] as const),
    })),
  }));
  return plotSvg(panels, "minutes");
}
