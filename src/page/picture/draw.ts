import { type Html, html } from "../markup/html.ts";
import { latency, plural, rate, shorten } from "../markup/words.ts";
import { perSecond, quantile, type Step, total } from "../model/history.ts";
import type { Cluster, Listener, RouteTable } from "../model/read-topology.ts";
import type { ClusterTraffic, Traffic } from "../model/read-traffic.ts";
import type { Scene } from "./choose.ts";
import { type Box, COLUMNS, type Line, layOut } from "./layout.ts";
import { plotLatency, plotRequests } from "./plot.ts";

export interface Numbers {
  readonly traffic: Traffic;
  stepsOf(cluster: string): readonly Step[];
}

/** `small` has no figures and plots: for many clusters without requests. */
export type Size = "large" | "small";

const HEIGHT: Readonly<Record<Size, number>> = { large: 76, small: 44 };
/** Room for the names of the columns. */
const HEAD = 26;
const MARGIN = 2;

/** Listeners, routes, clusters and endpoints as an SVG with classes of the page's style. */
export function drawScene(scene: Scene, numbers: Numbers, size: Size, label: string): Html {
  const layout = layOut(scene, HEIGHT[size]);
  const [width, height] = [layout.width + 2 * MARGIN, layout.height + HEAD + 2 * MARGIN];
  const heads = [
    ["listeners", scene.listeners.length],
    ["routes", scene.routes.length],
    ["clusters", scene.clusters.length],
    [
      "endpoints",
      scene.clusters.reduce((sum, { name }) => sum + (numbers.traffic.get(name)?.endpoints.length ?? 0), 0),
    ],
  ] as const;
  return html`<svg class="picture" role="img" aria-label="${label}" width="${width}" height="${height}" viewBox="${-MARGIN} ${
    -HEAD - MARGIN
  } ${width} ${height}">${heads.map(
    ([name, count]) =>
      html`<text class="head" x="${COLUMNS[name].x}" y="-10">${name} <tspan class="dim">${count}</tspan></text>`,
  )}${layout.lines.map((line) => drawLine(line))}${scene.listeners.map((one) =>
    drawListener(one, layout.listeners.get(one.name)),
  )}${scene.routes.map((one) => drawRoute(one, layout.routes.get(one.name)))}${scene.clusters.map((one) => {
    const traffic = numbers.traffic.get(one.name);
    const steps = size === "large" ? numbers.stepsOf(one.name) : undefined;
    return [
      drawCluster(one, traffic, steps, layout.clusters.get(one.name)),
      drawEndpoints(traffic, layout.endpoints.get(one.name)),
    ];
  })}</svg>`;
}

function drawLine({ from, to }: Line): Html {
  const [x1, y1, x2, y2] = [from.x + from.width, from.y + from.height / 2, to.x, to.y + to.height / 2];
  const bend = Math.min(60, (x2 - x1) / 2);
  return html`<path class="line" d="M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}"/>`;
}

/** Cut off at its edges, whatever is in it. */
function drawBox(box: Box | undefined, kind: string, title: string, inside: Piece): Html | undefined {
  if (box === undefined) return undefined;
  const { x, y, width, height } = box;
  return html`<svg class="box ${kind}" x="${x}" y="${y}" width="${width}" height="${height}" overflow="hidden"><title>${title}</title><rect x="0.5" y="0.5" width="${
    width - 1
  }" height="${height - 1}" rx="6"/>${inside}</svg>`;
}

type Piece = Parameters<typeof html>[1];

/** That many characters of the name's font fit into so many pixels. */
const NAME_WIDTH = 7.3;
const NOTE_WIDTH = 6.7;

function name(text: string, width: number): Html {
  return html`<text class="name" x="10" y="18">${shorten(text, Math.floor((width - 20) / NAME_WIDTH))}</text>`;
}

function note(text: string, width: number, y: number, kind = "note"): Html {
  return html`<text class="${kind}" x="10" y="${y}">${shorten(text, Math.floor((width - 20) / NOTE_WIDTH))}</text>`;
}

function drawListener({ name: text, address, state, refusal }: Listener, box: Box | undefined): Html | undefined {
  const trouble = refusal === undefined ? (state === "active" ? undefined : state) : "refused";
  const width = box?.width ?? 0;
  const title = [text, address, refusal].filter((one) => one !== undefined).join("; ");
  return drawBox(box, kindOf("listener", trouble, refusal), title, [
    name(text, width),
    note(trouble === undefined ? address : `${trouble}, ${address}`, width, 35),
  ]);
}

function drawRoute({ name: text, virtualHosts, domains }: RouteTable, box: Box | undefined): Html | undefined {
  const width = box?.width ?? 0;
  const hosts = virtualHosts === 1 ? `for ${domains[0] ?? "no domain"}` : plural(virtualHosts, "virtual host");
  return drawBox(box, "route", `${text}: ${domains.slice(0, 20).join(", ")}`, [
    name(text, width),
    note(hosts, width, 35),
  ]);
}

function drawCluster(
  { name: text, discovery, state, refusal }: Cluster,
  traffic: ClusterTraffic | undefined,
  steps: readonly Step[] | undefined,
  box: Box | undefined,
): Html | undefined {
  const width = box?.width ?? 0;
  const isEmpty = traffic !== undefined && traffic.endpoints.length === 0 && discovery !== "ORIGINAL_DST";
  const trouble =
    refusal === undefined ? (state === "warming" ? "warming" : isEmpty ? "no endpoints" : undefined) : "refused";
  const kind = kindOf("cluster", trouble, refusal);
  const title = [text, discovery, refusal].filter((one) => one !== undefined).join("; ");
  if (steps === undefined) return drawBox(box, kind, title, [name(text, width), note(trouble ?? discovery, width, 35)]);
  return drawBox(box, kind, title, [
    name(text, width),
    drawRequests(steps, traffic, trouble ?? discovery),
    drawLatency(steps, traffic),
  ]);
}

/** Rates are those of the last ten seconds, the rest is of all the time that is shown. */
const RECENT_STEPS = 5;

function drawRequests(steps: readonly Step[], traffic: ClusterTraffic | undefined, otherwise: string): Piece {
  const recent = perSecond(steps.slice(-RECENT_STEPS), "requests");
  const errors = total(steps, "errors");
  const connections = perSecond(steps.slice(-RECENT_STEPS), "connections");
  const isHttp = (traffic?.requests ?? 0) > 0 || (traffic?.connections ?? 0) === 0;
  const figure = isHttp ? `${rate(recent)} requests/s` : `${rate(connections)} connections/s`;
  const share = total(steps, "requests") === 0 ? 0 : (errors / Math.max(errors, total(steps, "requests"))) * 100;
  return [
    plotRequests(steps, { x: 10, y: 28, width: 90, height: 38 }),
    html`<text class="figure" x="108" y="42">${figure}</text>`,
    errors === 0
      ? html`<text class="note" x="108" y="60">${(traffic?.requests ?? 0) === 0 ? otherwise : "no errors"}</text>`
      : html`<text class="bad" x="108" y="60">${plural(errors, "error")}, ${rate(share)} %</text>`,
  ];
}

function drawLatency(steps: readonly Step[], traffic: ClusterTraffic | undefined): Piece {
  const [half, most] = [quantile(steps, 0.5), quantile(steps, 0.95)];
  const isKept = traffic?.latencies !== undefined || (traffic?.requests ?? 0) === 0;
  return [
    plotLatency(steps, { x: 236, y: 28, width: 90, height: 38 }),
    html`<text class="figure" x="334" y="42">${half === undefined ? "–" : `p50 ${latency(half)}`}</text>`,
    html`<text class="note" x="334" y="60">${
      most === undefined ? (isKept ? "no latency yet" : "not measured") : `p95 ${latency(most)}`
    }</text>`,
  ];
}

function drawEndpoints(traffic: ClusterTraffic | undefined, box: Box | undefined): Html | undefined {
  const endpoints = traffic?.endpoints ?? [];
  const width = box?.width ?? 0;
  const sick = endpoints.filter(({ trouble }) => trouble !== undefined);
  const title = endpoints
    .slice(0, 20)
    .map(({ address, trouble }) => `${address}${trouble === undefined ? "" : ` (${trouble})`}`);
  const more = endpoints.length > 1 ? `and ${endpoints.length - 1} more` : "1 endpoint";
  const health = sick.length === 0 ? "all healthy" : `${sick.length} of ${endpoints.length} not healthy`;
  if (endpoints.length === 0) return drawBox(box, "endpoints", "no endpoints", note("none", width, 18));
  return drawBox(box, sick.length === 0 ? "endpoints" : "endpoints warn", title.join(", "), [
    name(endpoints[0]?.address ?? "", width),
    note(
      endpoints.length === 1 ? (sick[0]?.trouble ?? "healthy") : `${more}, ${health}`,
      width,
      35,
      sick.length > 0 ? "bad" : "note",
    ),
  ]);
}

function kindOf(kind: string, trouble: string | undefined, refusal: string | undefined): string {
  if (refusal !== undefined) return `${kind} refused`;
  return trouble === undefined ? kind : `${kind} warn`;
}
