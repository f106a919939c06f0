import { type Html, html } from "../markup/html.ts";
import { latency, rate } from "../markup/words.ts";
import { HISTORY_STEPS, quantile, type Step } from "../model/history.ts";
import type { Box } from "./layout.ts";

/** Requests per second as an area, with the errors among them in another colour. The newest is at the right edge. */
export function plotRequests(steps: readonly Step[], place: Box): Html {
  const most = Math.max(1e-9, ...steps.map(({ requests, seconds }) => requests / seconds));
  const area = (counter: "requests" | "errors"): string => {
    const points = steps.map((step, at) => pointAt(steps, at, step[counter] / step.seconds / most, place));
    const left = xAt(steps, 0, place);
    return `M${left} ${place.y + place.height}L${points.join("L")}L${place.x + place.width} ${place.y + place.height}Z`;
  };
  const isBusy = steps.some(({ requests }) => requests > 0);
  return html`<g class="plot"><title>requests per second, at most ${rate(isBusy ? most : 0)}</title>${ground(place)}${
    isBusy && html`<path class="requests" d="${area("requests")}"/><path class="errors" d="${area("errors")}"/>`
  }</g>`;
}

/** Envoy adds to its histograms every five seconds: so many steps of two make a point. */
const STEPS_OF_A_POINT = 3;

/** The 95th percentile as a line, where something was measured. */
export function plotLatency(steps: readonly Step[], place: Box): Html {
  const points: { readonly at: number; readonly ms: number }[] = [];
  for (let at = steps.length - 1; at >= 0; at -= STEPS_OF_A_POINT) {
    const ms = quantile(steps.slice(Math.max(0, at - STEPS_OF_A_POINT + 1), at + 1), 0.95);
    if (ms !== undefined) points.push({ at, ms });
  }
  const most = Math.max(1e-9, ...points.map(({ ms }) => ms));
  const drawn = points.map(({ at, ms }) => pointAt(steps, at, ms / most, place));
  const one = points.length === 1 && drawn[0]?.split(" ");
  return html`<g class="plot"><title>95th percentile of the latency, at most ${latency(points.length === 0 ? 0 : most)}</title>${ground(place)}${
    drawn.length > 1 && html`<path class="latency" d="M${drawn.join("L")}"/>`
  }${one && html`<circle class="latency" cx="${one[0]}" cy="${one[1]}" r="1.5"/>`}</g>`;
}

function ground({ x, y, width, height }: Box): Html {
  return html`<rect class="ground" x="${x}" y="${y}" width="${width}" height="${height}" rx="2"/>`;
}

function pointAt(steps: readonly Step[], at: number, share: number, place: Box): string {
  return `${xAt(steps, at, place)} ${round(place.y + place.height - share * (place.height - 3))}`;
}

function xAt(steps: readonly Step[], at: number, { x, width }: Box): number {
  return round(x + width - ((steps.length - 1 - at) / (HISTORY_STEPS - 1)) * width);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
