import { escapeText } from "./escape.ts";

export type Labels = Readonly<Record<string, string>>;

/** A metric as the room declares it that records it: once, beside the code that does. The name is without the registry's prefix. */
interface Declared<Type extends string> {
  readonly type: Type;
  readonly name: string;
  /** The HELP text: what an operator sees beside a series. */
  readonly help: string;
}

export type Counter = Declared<"counter">;
export type Gauge = Declared<"gauge">;
export interface Histogram extends Declared<"histogram"> {
  /** Upper bounds, ascending. */
  readonly buckets: readonly number[];
}
export type Metric = Counter | Gauge | Histogram;

export function counter(name: string, help: string): Counter {
  return { type: "counter", name, help };
}

export function gauge(name: string, help: string): Gauge {
  return { type: "gauge", name, help };
}

export function histogram(name: string, help: string, buckets: readonly number[]): Histogram {
  return { type: "histogram", name, help, buckets };
}

/** Where the rooms record numbers. A series appears with its first record. */
export interface Metrics {
  count(metric: Counter, labels?: Labels, by?: number): void;
  /** Sets a gauge, or gives the function that is asked at each scrape; undefined leaves the series out. */
  gauge(metric: Gauge, value: number | (() => number | undefined), labels?: Labels): void;
  observe(metric: Histogram, value: number): void;
}

export interface MetricsRegistry extends Metrics {
  /** Prometheus text format 0.0.4, families sorted by name. */
  render(): string;
}

interface Observations {
  readonly buckets: readonly number[];
  readonly counts: number[];
  sum: number;
  count: number;
}

/** `prefix` begins the name of every metric. */
export function createMetrics(prefix: string): MetricsRegistry {
  const counters = new Map<Metric, Map<string, number>>();
  const gauges = new Map<Metric, Map<string, () => number | undefined>>();
  const histograms = new Map<Metric, Observations>();
  return {
    count(metric, labels, by = 1) {
      const series = family(counters, metric);
      const key = labelText(labels);
      series.set(key, (series.get(key) ?? 0) + by);
    },
    gauge(metric, value, labels) {
      family(gauges, metric).set(labelText(labels), typeof value === "number" ? () => value : value);
    },
    observe(metric, value) {
      const { buckets } = metric;
      const found = histograms.get(metric) ?? { buckets, counts: buckets.map(() => 0), sum: 0, count: 0 };
      histograms.set(metric, found);
      const at = buckets.findIndex((bound) => value <= bound);
      if (at >= 0) found.counts[at] = (found.counts[at] ?? 0) + 1;
      found.sum += value;
      found.count++;
    },
    render() {
      const families: (readonly [Metric, ReadonlyMap<string, number>])[] = [...counters];
      for (const [metric, series] of gauges) {
        const values = new Map([...series].flatMap(([key, read]) => defined(key, read())));
        if (values.size > 0) families.push([metric, values]);
      }
      for (const [metric, found] of histograms) families.push([metric, histogramSeries(found)]);
      return families
        .sort(([a], [b]) => (a.name < b.name ? -1 : 1))
        .map(([metric, series]) => familyText(prefix, metric, series))
        .join("");
    },
  };
}

function family<V>(families: Map<Metric, Map<string, V>>, metric: Metric): Map<string, V> {
  const series = families.get(metric) ?? new Map<string, V>();
  families.set(metric, series);
  return series;
}

function familyText(prefix: string, { name, type, help }: Metric, series: ReadonlyMap<string, number>): string {
  const full = prefix + name;
  const lines = [`# HELP ${full} ${help}`, `# TYPE ${full} ${type}`];
  for (const [key, value] of series) lines.push(`${full}${key} ${formatNumber(value)}`);
  return `${lines.join("\n")}\n`;
}

function histogramSeries(found: Observations): Map<string, number> {
  const series = new Map<string, number>();
  let cumulative = 0;
  found.buckets.forEach((bound, at) => {
    cumulative += found.counts[at] ?? 0;
    series.set(`_bucket{le="${formatNumber(bound)}"}`, cumulative);
  });
  return series.set('_bucket{le="+Inf"}', found.count).set("_sum", found.sum).set("_count", found.count);
}

/** Of labels that were used before: what counts each message has constant ones. */
const known = new WeakMap<Labels, string>();

function labelText(labels: Labels | undefined): string {
  if (labels === undefined) return "";
  const found = known.get(labels);
  if (found !== undefined) return found;
  const text = writtenLabels(labels);
  known.set(labels, text);
  return text;
}

function writtenLabels(labels: Labels): string {
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
