import type { Counters, Traffic } from "./read-traffic.ts";

/** What became of one cluster's counters between two samples. */
export interface Step {
  readonly seconds: number;
  readonly requests: number;
  readonly errors: number;
  readonly connections: number;
  readonly latencies: ReadonlyMap<number, number>;
}

/** How far back plots reach. */
export const HISTORY_STEPS = 90;
/** Clusters with traffic in that time that have a history. */
const MOST_CLUSTERS = 500;
/** Bins of one step; a step has a few. */
const MOST_BINS = 100;

const NO_LATENCIES: ReadonlyMap<number, number> = new Map(); // most steps of most clusters share it
const NOTHING = { requests: 0, errors: 0, connections: 0, latencies: NO_LATENCIES };

/** The last `HISTORY_STEPS` steps of each cluster, the newest last. Those without traffic share one list of empty steps. */
export class History {
  readonly #steps = new Map<string, Step[]>();
  readonly #empty: Step[] = [];
  /** They had traffic while there was no room for their history. */
  readonly #notKept = new Set<string>();
  #last: { readonly atMs: number; readonly traffic: Traffic } | undefined;

  add(atMs: number, traffic: Traffic): void {
    const before = this.#last;
    this.#last = { atMs, traffic };
    if (before === undefined || atMs <= before.atMs) return;
    for (const names of [this.#steps, this.#notKept])
      for (const name of names.keys()) if (!traffic.has(name)) names.delete(name);
    const seconds = (atMs - before.atMs) / 1_000;
    for (const [name, now] of traffic) {
      const earlier = before.traffic.get(name);
      this.#addStep(name, { seconds, ...(earlier === undefined ? NOTHING : difference(now, earlier)) });
    }
    append(this.#empty, { seconds, ...NOTHING });
  }

  /** Empty before the second sample; undefined for a cluster whose history is not kept. */
  of(cluster: string): readonly Step[] | undefined {
    if (this.#notKept.has(cluster)) return undefined;
    return this.#steps.get(cluster) ?? (this.#last?.traffic.has(cluster) ? this.#empty : []);
  }

  #addStep(name: string, step: Step): void {
    const steps = this.#steps.get(name);
    if (steps !== undefined) {
      append(steps, step);
      if (steps.every(isEmpty)) this.#steps.delete(name);
    } else if (!isEmpty(step)) {
      if (this.#steps.size >= MOST_CLUSTERS) {
        this.#notKept.add(name);
        return;
      }
      const isNew = !this.#notKept.delete(name);
      const begun = isNew ? [...this.#empty] : [];
      append(begun, step);
      this.#steps.set(name, begun);
    }
  }
}

function append(steps: Step[], step: Step): void {
  steps.push(step);
  if (steps.length > HISTORY_STEPS) steps.shift();
}

function isEmpty({ requests, errors, connections, latencies }: Step): boolean {
  return requests + errors + connections + latencies.size === 0;
}

/** A counter that went back belongs to a new Envoy, or to an endpoint that left: then nothing is known of the step. */
function difference(now: Counters, before: Counters): Omit<Step, "seconds"> {
  const grown = (counter: "requests" | "errors" | "connections"): number => Math.max(0, now[counter] - before[counter]);
  const latencies = new Map<number, number>();
  for (const [ms, count] of now.latencies ?? []) {
    const more = count - (before.latencies?.get(ms) ?? 0);
    if (more > 0 && latencies.size < MOST_BINS) latencies.set(ms, more);
  }
  return {
    requests: grown("requests"),
    errors: grown("errors"),
    connections: grown("connections"),
    latencies: latencies.size === 0 ? NO_LATENCIES : latencies,
  };
}

/** Per second, over the last steps. */
export function perSecond(steps: readonly Step[], counter: "requests" | "errors" | "connections"): number {
  const seconds = steps.reduce((sum, step) => sum + step.seconds, 0);
  return seconds === 0 ? 0 : total(steps, counter) / seconds;
}

export function total(steps: readonly Step[], counter: "requests" | "errors" | "connections"): number {
  return steps.reduce((sum, step) => sum + step[counter], 0);
}

/** In milliseconds; undefined when nothing was measured in these steps. */
export function quantile(steps: readonly Step[], share: number): number | undefined {
  const merged = new Map<number, number>();
  for (const { latencies } of steps) for (const [ms, count] of latencies) merged.set(ms, (merged.get(ms) ?? 0) + count);
  const all = [...merged.values()].reduce((sum, count) => sum + count, 0);
  let seen = 0;
  for (const [ms, count] of [...merged].sort(([a], [b]) => a - b)) {
    seen += count;
    if (seen >= all * share) return ms;
  }
  return undefined;
}
