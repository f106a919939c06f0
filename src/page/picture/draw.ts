import { type Html, html } from "../markup/html.ts";
import { plural, shorten } from "../markup/words.ts";
import type { Step } from "../model/history.ts";
import type { Cluster, Listener, RouteTable } from "../model/read-topology.ts";
import type { ClusterTraffic, Traffic } from "../model/read-traffic.ts";
import type { Scene } from "./choose.ts";
import { figuresOf, healthOf, troubleOf, troubleOfListener } from "./figures.ts";
import { type Box, COLUMNS, type Line, layOut } from "./layout.ts";
import { plotLatency, plotRequests } from "./plot.ts";

export interface Numbers {
  readonly traffic: Traffic;
  /** Undefined where no history is kept. */
  stepsOf(cluster: string): readonly Step[] | undefined;
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
  const endpoints = scene.clusters.map(({ name }) => numbers.traffic.get(name)?.endpoints.length ?? 0);
  const heads = [
    ["listeners", scene.areWaysUnknown ? "not known" : countOf(scene.listeners, scene.moreListeners)],
    ["routes", scene.areWaysUnknown ? "not known" : countOf(scene.routes, scene.moreRoutes)],
    ["clusters", countOf(scene.clusters, 0)],
    ["endpoints", String(endpoints.reduce((sum, count) => sum + count, 0))],
  ] as const;
  return html`<svg class="picture" role="img" aria-label="${label}" width="${width}" height="${height}" viewBox="${-MARGIN} ${
    -HEAD - MARGIN
  } ${width} ${height}">${heads.map(
    ([name, count]) =>
      html`<text class="head" x="${COLUMNS[name].x}" y="-10">${name} <tspan class="dim">${count}</tspan></text>`,
  )}${layout.lines.map((line) => drawLine(line))}${scene.listeners.map((one) =>
    drawListener(one, layout.listeners.get(one)),
  )}${scene.routes.map((one) => drawRoute(one, layout.routes.get(one.name)))}${scene.clusters.map((one) => {
    const traffic = numbers.traffic.get(one.name);
    return [
      size === "large"
        ? drawCluster(one, traffic, numbers.stepsOf(one.name), layout.clusters.get(one.name))
        : drawClusterBriefly(one, traffic, layout.clusters.get(one.name)),
      size === "large"
        ? drawEndpoints(traffic, layout.endpoints.get(one.name))
        : drawEndpointsBriefly(traffic, layout.endpoints.get(one.name)),
    ];
  })}</svg>`;
}

function countOf(drawn: readonly unknown[], more: number): string {
  return more === 0 ? String(drawn.length) : `${drawn.length} and ${more} more`;
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

function drawListener(listener: Listener, box: Box | undefined): Html | undefined {
  const { name: text, address, refusal } = listener;
  const trouble = troubleOfListener(listener);
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
  return drawBox(box, "route", `${text}: ${domains.slice(0, MOST_NAMED).join(", ")}`, [
    name(text, width),
    note(hosts, width, 35),
  ]);
}

/** In a title, which a browser shows while the pointer rests. */
const MOST_NAMED = 20;

function drawClusterBriefly(
  cluster: Cluster,
  traffic: ClusterTraffic | undefined,
  box: Box | undefined,
): Html | undefined {
  const width = box?.width ?? 0;
  const trouble = troubleOf(cluster, traffic);
  const inside = [name(cluster.name, width), note(trouble ?? cluster.discovery, width, 35)];
  return drawBox(box, kindOf("cluster", trouble, cluster.refusal), titleOfCluster(cluster), inside);
}

function drawCluster(
  cluster: Cluster,
  traffic: ClusterTraffic | undefined,
  steps: readonly Step[] | undefined,
  box: Box | undefined,
): Html | undefined {
  const trouble = troubleOf(cluster, traffic);
  const figures = figuresOf(steps, traffic);
  const { rate, errors, half, most } = figures;
  const calm = (traffic?.requests ?? 0) === 0 && steps !== undefined ? cluster.discovery : figures.calm;
  return drawBox(box, kindOf("cluster", trouble, cluster.refusal), titleOfCluster(cluster), [
    name(cluster.name, box?.width ?? 0),
    plotRequests(steps ?? [], { x: 10, y: 28, width: 90, height: 38 }),
    html`<text class="figure" x="108" y="42">${rate}</text>`,
    html`<text class="${(errors ?? trouble) === undefined ? "note" : "bad"}" x="108" y="60">${errors ?? trouble ?? calm}</text>`,
    plotLatency(steps ?? [], { x: 236, y: 28, width: 90, height: 38 }),
    html`<text class="figure" x="334" y="42">${half}</text>`,
    html`<text class="note" x="334" y="60">${most}</text>`,
  ]);
}

function titleOfCluster({ name: text, discovery, refusal }: Cluster): string {
  return [text, discovery, refusal].filter((one) => one !== undefined).join("; ");
}

/** As many as there is room for. */
const MOST_LINES = 4;

/** A line for each; the last one for those without a line. */
function drawEndpoints(traffic: ClusterTraffic | undefined, box: Box | undefined): Html | undefined {
  const endpoints = traffic?.endpoints ?? [];
  if (endpoints.length < 2) return drawEndpointsBriefly(traffic, box);
  const { isWell } = healthOf(traffic);
  const width = box?.width ?? 0;
  const shown = endpoints.length > MOST_LINES ? endpoints.slice(0, MOST_LINES - 1) : endpoints;
  const rest = endpoints.slice(shown.length);
  const lines = shown.map(({ address, trouble }, at) =>
    note(
      trouble === undefined ? address : `${address} ${trouble}`,
      width,
      17 + at * 17,
      trouble === undefined ? "name" : "bad",
    ),
  );
  const sick = rest.filter(({ trouble }) => trouble !== undefined).length;
  const last = sick === 0 ? `and ${rest.length} more, healthy` : `and ${rest.length} more, ${sick} not healthy`;
  return drawBox(box, isWell ? "endpoints" : "endpoints warn", titleOf(traffic), [
    lines,
    rest.length > 0 && note(last, width, 17 + shown.length * 17, sick === 0 ? "note" : "bad"),
  ]);
}

function titleOf(traffic: ClusterTraffic | undefined): string {
  const named = (traffic?.endpoints ?? [])
    .slice(0, MOST_NAMED)
    .map(({ address, trouble }) => `${address}${trouble === undefined ? "" : ` (${trouble})`}`);
  return named.join(", ") || "no endpoints";
}

function drawEndpointsBriefly(traffic: ClusterTraffic | undefined, box: Box | undefined): Html | undefined {
  const { first, rest, isWell } = healthOf(traffic);
  const width = box?.width ?? 0;
  return drawBox(box, isWell ? "endpoints" : "endpoints warn", titleOf(traffic), [
    name(first, width),
    note(rest, width, 35, isWell ? "note" : "bad"),
  ]);
}

function kindOf(kind: string, trouble: string | undefined, refusal: string | undefined): string {
  if (refusal !== undefined) return `${kind} refused`;
  return trouble === undefined ? kind : `${kind} warn`;
}
