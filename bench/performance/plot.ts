// Line charts as SVG, readable on a light and on a dark page, without a library: the page is the only place for them.

export interface Panel {
  /** With the unit of its values. */
  readonly title: string;
  readonly lines: readonly Line[];
}

export interface Line {
  readonly name: string;
  /** In the order of x. */
  readonly points: readonly (readonly [x: number, y: number])[];
}

const WIDTH = 820;
const PANEL_HEIGHT = 150;
const LEFT = 60;
const RIGHT = 16;
const TOP = 30;
const GAP = 46;
const TICKS = 4;
/** Told apart on both backgrounds, and by their lightness. */
const COLOURS = ["#2f81f7", "#2da44e", "#d4731c", "#a371f7", "#d6336c"];
const STYLE = `text { font: 12px system-ui, sans-serif; fill: #3d444d } .grid { stroke: #d1d9e0 } path { fill: none; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) { text { fill: #c9d1d9 } .grid { stroke: #3d444d } }`;

/** Panels below each other, with one x axis for all of them. */
export function plotSvg(panels: readonly Panel[], xTitle: string): string {
  const xs = panels.flatMap(({ lines }) => lines.flatMap(({ points }) => points.map(([x]) => x)));
  const mostX = Math.max(1, ...xs);
  const height = TOP + panels.length * (PANEL_HEIGHT + GAP) + 10;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img">`,
    `<style>${STYLE}</style>`,
    ...legend(panels[0]?.lines ?? []),
    ...panels.flatMap((panel, at) => drawPanel(panel, TOP + GAP / 2 + at * (PANEL_HEIGHT + GAP), mostX)),
    `<text x="${WIDTH - RIGHT}" y="${height - 8}" text-anchor="end">${xTitle}</text>`,
    "</svg>",
    "",
  ].join("\n");
}

function legend(lines: readonly Line[]): string[] {
  const step = (WIDTH - LEFT) / Math.max(1, lines.length);
  return lines.flatMap(({ name }, at) => {
    const x = LEFT + at * step;
    return [
      `<path d="M${x} 16h18" stroke="${colour(at)}" style="stroke-width:3"/>`,
      `<text x="${x + 24}" y="20">${name}</text>`,
    ];
  });
}

const colour = (at: number): string => COLOURS[at % COLOURS.length] ?? "";

function drawPanel({ title, lines }: Panel, top: number, mostX: number): string[] {
  const most = niceAbove(Math.max(0, ...lines.flatMap(({ points }) => points.map(([, y]) => y))));
  const x = (value: number): string => (LEFT + (value / mostX) * (WIDTH - LEFT - RIGHT)).toFixed(1);
  const y = (value: number): string => (top + PANEL_HEIGHT * (1 - value / most)).toFixed(1);
  const step = niceAbove(mostX / TICKS / 2);
  const ticks = Array.from({ length: TICKS + 1 }, (_, at) => at / TICKS);
  return [
    `<text x="${LEFT}" y="${top - 6}" font-weight="600">${title}</text>`,
    ...ticks.flatMap((share) => [
      `<path class="grid" d="M${LEFT} ${y(share * most)}H${WIDTH - RIGHT}"/>`,
      `<text x="${LEFT - 6}" y="${Number(y(share * most)) + 4}" text-anchor="end">${label(share * most)}</text>`,
    ]),
    ...Array.from({ length: Math.floor(mostX / step) + 1 }, (_, at) => at * step).map(
      (value) => `<text x="${x(value)}" y="${top + PANEL_HEIGHT + 15}" text-anchor="middle">${label(value)}</text>`,
    ),
    ...lines.map(({ points }, at) => {
      const path = points.map(([px, py], index) => `${index === 0 ? "M" : "L"}${x(px)} ${y(py)}`).join("");
      return `<path d="${path}" stroke="${colour(at)}"/>`;
    }),
  ];
}

/** The next of 1, 2, 4, 5, 8 and their tenfolds, whose quarters are short numbers. */
function niceAbove(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 4, 5, 8].find((step) => step * power >= value) ?? 10) * power;
}

const label = (value: number): string => String(Number(value.toPrecision(3)));
