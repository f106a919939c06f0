import { type Html, html } from "../markup/html.ts";
import type { Cluster } from "../model/read-topology.ts";
import type { Scene } from "./choose.ts";
import type { Numbers } from "./draw.ts";
import { figuresOf, healthOf, troubleOf } from "./figures.ts";
import { plotLatency, plotRequests } from "./plot.ts";

/** The same scene for a narrow screen: a cluster below the other, each with its way there in words. */
export function drawNarrow(scene: Scene, numbers: Numbers): Html {
  return html`<ul class="narrow">${scene.clusters.map((cluster) => drawOne(cluster, scene, numbers))}</ul>`;
}

function drawOne(cluster: Cluster, scene: Scene, { traffic, stepsOf }: Numbers): Html {
  const { name, refusal } = cluster;
  const counters = traffic.get(name);
  const steps = stepsOf(name);
  const trouble = troubleOf(cluster, counters);
  const { rate, errors, calm, half, most } = figuresOf(steps, counters);
  const { first, rest, isWell } = healthOf(counters);
  return html`<li class="${refusal === undefined ? (trouble === undefined ? "" : "warn") : "refused"}"><b>${name}</b>${
    trouble !== undefined && html` <span class="bad">${trouble}</span>`
  }${wayTo(name, scene)}<svg class="picture" width="300" height="86" role="img" aria-label="requests and latency">${plotRequests(
    steps ?? [],
    { x: 0, y: 4, width: 140, height: 38 },
  )}${plotLatency(steps ?? [], { x: 156, y: 4, width: 140, height: 38 })}<text class="figure" x="0" y="60">${rate}</text><text class="${
    errors === undefined ? "note" : "bad"
  }" x="0" y="77">${errors ?? calm}</text><text class="figure" x="156" y="60">${half}</text><text class="note" x="156" y="77">${most}</text></svg><p class="way">to ${first}${
    rest !== "" && html`, <span class="${isWell ? "" : "bad"}">${rest}</span>`
  }</p></li>`;
}

const MOST_WAYS = 3;

/** Which listeners and routes lead there. */
function wayTo(cluster: string, { listeners, routes, moreListeners, moreRoutes, areWaysUnknown }: Scene): Html {
  const tables = new Set(routes.filter(({ clusters }) => clusters.includes(cluster)).map(({ name }) => name));
  const ways = listeners.flatMap((listener) => {
    const by = listener.routes.find((name) => tables.has(name));
    if (by !== undefined) return `${listener.name} (${listener.address}), route ${by}`;
    return listener.clusters.includes(cluster) ? `${listener.name} (${listener.address})` : [];
  });
  if (areWaysUnknown) return html`<p class="way">from listeners that are not known</p>`;
  if (ways.length === 0)
    return html`<p class="way">${moreListeners + moreRoutes > 0 ? "no listener that is drawn leads here" : "no listener leads here"}</p>`;
  const more = ways.length - MOST_WAYS;
  return html`<p class="way">from ${ways.slice(0, MOST_WAYS).join("; ")}${more > 0 && ` and ${more} more`}</p>`;
}
