import { quantile } from "../support/report.ts";
import { type SoakResult, soakPlot } from "./soak-plot.ts";

// docs/performance.md out of what the benchmarks wrote. Only their JSON counts: the same files give the same page.

/** The benchmarks that the page shows, in its order, by the names of their files. */
export const SHOWN = ["relay", "sds", "start", "many", "soak"] as const;

/** What each wrote; one that was not run is left out of the page. */
export interface Results {
  readonly relay?: RelayFile;
  readonly sds?: SdsFile;
  readonly start?: StartFile;
  readonly many?: ManyFile;
  readonly soak?: SoakFile;
}

interface RelayFile {
  readonly machine: string;
  readonly runs: number;
  readonly floor: string;
  readonly units: Readonly<Record<string, string>>;
  /** A name, and the values of all runs by measure. */
  readonly results: readonly Readonly<Record<string, string | readonly number[]>>[];
}

interface SdsFile {
  readonly machine: string;
  readonly runs: number;
  readonly titles: Readonly<Record<string, string>>;
  readonly results: readonly Readonly<Record<string, string | { readonly p50: number; readonly p99: number }>>[];
}

interface StartFile {
  readonly machine: string;
  readonly runs: number;
  readonly samples: Readonly<Record<string, readonly Readonly<Record<string, number>>[]>>;
  readonly floors: { readonly node: readonly number[]; readonly envoy: readonly number[] };
}

interface ManyFile {
  readonly machine: string;
  readonly agents: number;
  readonly withRealEnvoy: number;
  readonly seconds: number;
  readonly results: readonly {
    readonly name: string;
    readonly rss: number;
    readonly anonymous: number;
    readonly proportional: number;
    readonly idlePercent: number;
    readonly pushedPercent: number;
  }[];
}

interface SoakFile {
  readonly machine: string;
  readonly seconds: number;
  readonly warmUp: number;
  readonly results: readonly SoakResult[];
}

const PEER = "pilot-agent";

/** The files of `docs/` by their names. */
export function performanceFiles(results: Results): Record<string, string> {
  const { soak } = results;
  return {
    "performance.md": page(results),
    ...(soak === undefined ? {} : { "performance/soak.svg": soakPlot(soak.results) }),
  };
}

function page({ relay, sds, start, many, soak }: Results): string {
  return [
    "# Performance",
    "",
    "What the agent costs, beside what nothing in its place costs (a floor) and beside Istio's `pilot-agent` in the same run.",
    "`npm run docs:performance` writes this page from the JSON in [performance/](performance/); what each benchmark does, and",
    "how to run it, is in [bench/README.md](../bench/README.md). The load in a machine's description is that of the minute",
    "before: above the number of cores, other programs took turns with everything that was measured, and differences of less",
    "than a third say nothing.",
    ...(relay === undefined ? [] : relaySection(relay)),
    ...(sds === undefined ? [] : sdsSection(sds)),
    ...(start === undefined ? [] : startSection(start)),
    ...(many === undefined ? [] : manySection(many)),
    ...(soak === undefined ? [] : soakSection(soak)),
    "",
  ].join("\n");
}

function relaySection({ machine, runs, floor, units, results }: RelayFile): string[] {
  const middle = (name: string, measure: string): number => {
    const values = results.find((one) => one.name === name)?.[measure];
    return quantile(Array.isArray(values) ? values : [], 0.5);
  };
  const names = results.map(({ name }) => String(name));
  const rows = Object.entries(units).map(([measure, unit]) => [
    `${measure}, ${unit}`,
    ...names.map((name) => cell(middle(name, measure), name === floor ? Number.NaN : middle(floor, measure))),
  ]);
  return [
    ...head("Configuration through the agent", `${machine}; p50 of ${runs === 1 ? "one run" : `${runs} runs`}`),
    "Delta ADS from a control plane over TLS to an Envoy at the agent's socket, each a process of its own. In brackets: times",
    `the same Envoy connected to the control plane (${floor}). Pushes are one-way, each after the ACK of the one before;`,
    "throughput is 200 messages of 1 MB back to back. A peak is the most that was resident during that step.",
    "",
    ...table(["", ...names], rows),
  ];
}

function sdsSection({ machine, runs, titles, results }: SdsFile): string[] {
  const middle = (name: string, measure: string): number => {
    const found = results.find((one) => one.name === name)?.[measure];
    return typeof found === "object" ? found.p50 : Number.NaN;
  };
  const names = results.map(({ name }) => String(name));
  const rows = Object.entries(titles).map(([measure, title]) => [
    title,
    ...names.map((name) => cell(middle(name, measure), name === PEER ? Number.NaN : middle(PEER, measure))),
  ]);
  return [
    ...head("Secrets over SDS", `${machine}; p50 of ${runs === 1 ? "one run" : `${runs} runs`}`),
    `From the opening of a stream to its secret, at an agent that has its certificate. In brackets: times ${PEER}.`,
    "",
    ...table(["", ...names], rows),
  ];
}

const START_ROWS = ["envoy spawned", "first xds request", "first secret sent", "ready"];

function startSection({ machine, runs, samples, floors }: StartFile): string[] {
  const names = Object.keys(samples);
  const middle = (name: string, key: string): number =>
    quantile(
      (samples[name] ?? []).map((one) => one[key] ?? 0),
      0.5,
    );
  const row = (title: string, key: string): string[] => [title, ...names.map((name) => digits(middle(name, key)))];
  const [node, envoy] = [quantile(floors.node, 0.5), quantile(floors.envoy, 0.5)];
  return [
    ...head("Start", `${machine}; p50 of ${runs} runs`),
    `Milliseconds from the start of the process, with a real Envoy. Floors: an empty program of Node ${digits(node)} ms, Envoy alone`,
    `${digits(envoy)} ms.`,
    "",
    ...table(
      ["", ...names],
      [...START_ROWS.map((step) => row(`${step}, ms`, step)), row("resident memory when ready, MB", "agentRssMb")],
    ),
  ];
}

function manySection({ machine, agents, withRealEnvoy, seconds, results }: ManyFile): string[] {
  return [
    ...head("Many agents on one machine", machine),
    `${agents} agents, ${withRealEnvoy} of them with a real Envoy. Means of one agent without its Envoy; PSS divides each shared page among`,
    `its users. Processor time is in per cent of a core, over ${seconds} s each: idle, and with 10 KB of configuration to each agent`,
    "once a second.",
    "",
    ...table(
      ["", "RSS, MB", "anonymous, MB", "PSS, MB", "idle, %", "with pushes, %"],
      results.map((one) => [
        ...[one.name, digits(one.rss), digits(one.anonymous), digits(one.proportional)],
        ...[one.idlePercent.toFixed(2), one.pushedPercent.toFixed(2)],
      ]),
    ),
  ];
}

function soakSection({ machine, seconds, warmUp, results }: SoakFile): string[] {
  return [
    ...head("Over time", machine),
    `${seconds < 120 ? `${seconds} seconds` : `${digits(seconds / 60)} minutes`} of configuration, rotations, scrapes, probes, DNS questions and, but for ${PEER}, reloads of Envoy at`,
    `a steady rate, all at the same time. The slope is that of resident memory after the first ${digits(warmUp * seconds)} s, with its standard`,
    "error; the delay is that of a tiny request to the status port.",
    "",
    "![Memory, processor time, handles and delay over time](performance/soak.svg)",
    "",
    ...table(
      ["", "slope, MB an hour", "delay p50, ms", "delay p99, ms", "done"],
      results.map(({ name, mbPerHour, mbPerHourError, delayP50Ms, delayP99Ms, done }) => [
        name,
        `${mbPerHour.toFixed(1)} ± ${mbPerHourError.toFixed(1)}`,
        ...[delayP50Ms.toFixed(2), delayP99Ms.toFixed(2)],
        `${done.rotation ?? 0} rotations, ${done.scrape ?? 0} scrapes, ${done.reload ?? 0} reloads`,
      ]),
    ),
  ];
}

const head = (title: string, machine: string): string[] => ["", `## ${title}`, "", `${machine}.`, ""];

/** A value, and how many times the base it is where there is a base. */
function cell(value: number, base: number): string {
  if (Number.isNaN(value)) return "–";
  const times = value / base;
  return Number.isFinite(times) ? `${digits(value)} (×${times.toFixed(2)})` : digits(value);
}

const digits = (value: number): string => value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0).replace(/\.0+$/, "");

function table(titles: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const rule = titles.map((_, at) => (at === 0 ? "---" : "---:"));
  return [titles, rule, ...rows].map((cells) => `| ${cells.join(" | ")} |`);
}
