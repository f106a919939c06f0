import { type Html, html } from "../markup/html.ts";
import { plural } from "../markup/words.ts";
import { type Traffic, topologyOf } from "../model/read-traffic.ts";
import type { View } from "../model/view.ts";
import { chooseScenes } from "../picture/choose.ts";
import { drawScene, type Numbers } from "../picture/draw.ts";
import { drawNarrow } from "../picture/narrow.ts";

const NO_TRAFFIC: Traffic = new Map();

/** The picture; what has no requests, and what Envoy has for itself, is folded away below it. */
export function trafficSections({ topology, traffic = NO_TRAFFIC, history, problem }: View): {
  traffic: Html;
  folded: Html;
} {
  if (topology === undefined && traffic.size === 0) {
    return { traffic: html`<p class="empty">${problem ?? "Envoy has not answered yet"}</p>`, folded: html`` };
  }
  const numbers: Numbers = { traffic, stepsOf: (cluster) => history.of(cluster) };
  const { main, quiet, own, notDrawn } = chooseScenes(topology ?? topologyOf(traffic), traffic);
  const isQuiet = quiet.clusters.every(({ name }) => (traffic.get(name)?.requests ?? 0) === 0);
  const isEmpty = main.clusters.length + main.listeners.length === 0;
  const isMeasured = main.clusters.every(({ name, isStatic }) => {
    const counters = traffic.get(name);
    return isStatic || counters === undefined || counters.requests === 0 || counters.latencies !== undefined;
  });
  return {
    traffic: isEmpty
      ? html`<p class="empty">The control plane has sent no listeners and clusters</p>`
      : html`${topology === undefined && html`<p class="reason">${problem ?? "Envoy's configuration is not known yet"}</p>`}<div class="scroll wide" id="scroll-main" tabindex="0">${drawScene(main, numbers, "large", "Listeners, routes, clusters and endpoints")}</div>${drawNarrow(main, numbers)}${
          !isMeasured &&
          html`<p class="hint">Envoy measures no latency of these clusters: <code>proxyStatsMatcher</code> leaves the statistics <code>cluster.*.upstream_rq_time</code> out.</p>`
        }`,
    folded: html`${
      quiet.clusters.length > 0 &&
      html`<details id="fold-quiet"><summary>${plural(quiet.clusters.length, "more cluster")}${isQuiet && " without requests"}${
        notDrawn > 0 && `, and ${notDrawn} more that are not drawn`
      }</summary><div class="scroll" id="scroll-quiet" tabindex="0">${drawScene(quiet, numbers, "small", "More clusters")}</div></details>`
    }${
      own.clusters.length > 0 &&
      html`<details id="fold-own"><summary>${plural(own.clusters.length, "cluster")} from Envoy's bootstrap</summary><div class="scroll" id="scroll-own" tabindex="0">${drawScene(
        own,
        numbers,
        "small",
        "What Envoy has from its bootstrap",
      )}</div></details>`
    }`,
  };
}
