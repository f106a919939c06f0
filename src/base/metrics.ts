import { escapeText } from "./escape.ts";

export type Labels = Readonly<Record<string, string>>;

/** Where the rooms record numbers. Names are Istio's, without the prefix `istio_agent_`. */
export interface Metrics {
  /** Adds to a counter; the series appears with the first call. */
  count(name: string, labels?: Labels, by?: number): void;
  /** Sets a gauge, or gives the function that is asked at each scrape; undefined leaves the series out. */
  gauge(name: string, value: number | (() => number | undefined), labels?: Labels): void;
  /** Adds to a histogram with the upper bounds `buckets`, fixed by the first call. */
  observe(name: string, value: number, buckets: readonly number[]): void;
}

export interface MetricsRegistry extends Metrics {
  /** Prometheus text format 0.0.4, families sorted by name. `help` gives the HELP text of a name. */
  render(help?: (name: string) => string | undefined): string;
}

export const noMetrics: Metrics = { count: () => undefined, gauge: () => undefined, observe: () => undefined };

interface Histogram {
  readonly buckets: readonly number[];
  readonly counts: number[];
  sum: number;
  count: number;
}

const PREFIX = "istio_agent_";

export function createMetrics(): MetricsRegistry {
  const counters = new Map<string, Map<string, number>>();
  const gauges = new Map<string, Map<string, () => number | undefined>>();
  const histograms = new Map<string, Histogram>();
  return {
    count(name, labels, by = 1) {
      const series = family(counters, name);
      const key = labelText(labels);
      series.set(key, (series.get(key) ?? 0) + by);
    },
    gauge(name, value, labels) {
      family(gauges, name).set(labelText(labels), typeof value === "number" ? () => value : value);
    },
    observe(name, value, buckets) {
      let histogram = histograms.get(name);
      if (histogram === undefined) {
        histogram = { buckets, counts: buckets.map(() => 0), sum: 0, count: 0 };
        histograms.set(name, histogram);
      }
      const at = histogram.buckets.findIndex((bound) => value <= bound);
      if (at >= 0) histogram.counts[at] = (histogram.counts[at] ?? 0) + 1;
      histogram.sum += value;
      histogram.count++;
    },
    render(help = () => undefined) {
      const families: [string, string][] = [];
      for (const [name, series] of counters) families.push([name, familyText(name, "counter", series, help)]);
      for (const [name, series] of gauges) {
        const values = new Map([...series].flatMap(([key, read]) => defined(key, read())));
        if (values.size > 0) families.push([name, familyText(name, "gauge", values, help)]);
      }
      for (const [name, histogram] of histograms) {
        families.push([name, familyText(name, "histogram", histogramSeries(histogram), help)]);
      }
      return families
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([, text]) => text)
        .join("");
    },
  };
}

function family<V>(families: Map<string, Map<string, V>>, name: string): Map<string, V> {
  const series = families.get(name) ?? new Map<string, V>();
  families.set(name, series);
  return series;
}

function familyText(
  name: string,
  type: string,
  series: ReadonlyMap<string, number>,
  help: (name: string) => string | undefined,
): string {
  const full = PREFIX + name;
  const lines = [`# HELP ${full} ${help(name) ?? ""}`, `# TYPE ${full} ${type}`];
  for (const [key, value] of series) lines.push(`${full}${key} ${formatNumber(value)}`);
  return `${lines.join("\n")}\n`;
}

function histogramSeries(histogram: Histogram): Map<string, number> {
  const series = new Map<string, number>();
  let cumulative = 0;
  histogram.buckets.forEach((bound, at) => {
    cumulative += histogram.counts[at] ?? 0;
    series.set(`_bucket{le="${formatNumber(bound)}"}`, cumulative);
  });
  return series.set('_bucket{le="+Inf"}', histogram.count).set("_sum", histogram.sum).set("_count", histogram.count);
}

function labelText(labels: Labels = {}): string {
  const pairs = Object.entries(labels).map(
    ([key, value]) => `${key}="${escapeText(value).replace(/[\\"\n]/g, escapeCharacter)}"`,
  );
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

const escapeCharacter = (character: string): string => (character === "\n" ? "\\n" : `\\${character}`);

/** Shortest form that reads back the same; an exponent outside 1e-4 … 1e6, as Go prints it. */
function formatNumber(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "-Inf";
  const size = Math.abs(value);
  if (size === 0 || (size >= 1e-4 && size < 1e6)) return String(value);
  return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
}

function defined(key: string, value: number | undefined): [string, number][] {
  return value === undefined ? [] : [[key, value]];
}
