import type { ManyResults } from "../many.ts";
import type { RelayResults } from "../relay.ts";
import type { SdsResults } from "../sds.ts";
import type { SoakResults } from "../soak.ts";
import type { StartResults } from "../start.ts";
import { quantile } from "../support/report.ts";
import { soakPlot } from "./soak-plot.ts";

// docs/performance.md out of what the benchmarks wrote. Only their JSON counts: the same files give the same page.

/** The benchmarks that the page shows, in its order, by the names of their files. */
export const SHOWN = ["relay", "sds", "start", "many", "soak"] as const;

/** What each wrote; one that was not run is left out of the page. */
export interface Results {
  readonly relay?: RelayResults;
  readonly sds?: SdsResults;
  readonly start?: StartResults;
  readonly many?: ManyResults;
  readonly soak?: SoakResults;
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

function relaySection({ machine, runs, floor, units, results }: RelayResults): string[] {
  const middle = (name: string, measure: keyof typeof units): number =>
    quantile(results.find((one) => one.name === name)?.[measure] ?? [], 0.5);
  const names = results.map(({ name }) => name);
  const rows = namesOf(units).map((measure) => [
    `${measure}, ${units[measure]}`,
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

function sdsSection({ machine, runs, titles, results }: SdsResults): string[] {
  const middle = (name: string, measure: keyof typeof titles): number =>
    results.find((one) => one.name === name)?.[measure]?.p50 ?? Number.NaN;
  const names = results.map(({ name }) => name);
  const rows = namesOf(titles).map((measure) => [
    titles[measure],
    ...names.map((name) => cell(middle(name, measure), name === PEER ? Number.NaN : middle(PEER, measure))),
  ]);
  return [
    ...head("Secrets over SDS", `${machine}; p50 of ${runs === 1 ? "one run" : `${runs} runs`}`),
    `From the opening of a stream to its secret, at an agent that has its certificate. In brackets: times ${PEER}.`,
    "",
    ...table(["", ...names], rows),
  ];
}

function startSection({ machine, runs, units, results, floors }: StartResults): string[] {
  const names = results.map(({ name }) => name);
  const steps = new Set(results.flatMap((one) => Object.keys(one.steps)));
  const peer = results.find(({ name }) => name === PEER);
  const seen = namesOf(units).map((measure) => [
    `${measure}, ${units[measure]}`,
    ...results.map((one) =>
      cell(middleOf(one.seen[measure]), one === peer ? Number.NaN : middleOf(peer?.seen[measure])),
    ),
  ]);
  const own = results.filter((one) => Object.keys(one.steps).length > 0); // pilot-agent notes none
  const noted = [...steps].map((step) => [
    `${step}, ms`,
    ...own.map((one) => cell(middleOf(one.steps[step]), Number.NaN)),
  ]);
  return [
    ...head("Start and stop", `${machine}; p50 of ${runs} runs`),
    "From the start of the process, with a real Envoy and the development control plane, seen from outside in the same way for",
    "all: when a child of the agent has become Envoy, and when `/healthz/ready` says 200. CPU and memory are the agent's without",
    `its Envoy. In brackets: times ${PEER}. Floors: an empty program of Node ${digits(middleOf(floors.node))} ms, Envoy alone ${digits(middleOf(floors.envoy))} ms.`,
    "",
    ...table(["", ...names], seen),
    "",
    "The steps that the product itself notes:",
    "",
    ...table(["", ...own.map(({ name }) => name)], noted),
  ];
}

const middleOf = (values: readonly number[] = []): number => quantile(values, 0.5);

function manySection({ machine, agents, withRealEnvoy, seconds, results }: ManyResults): string[] {
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

function soakSection({ machine, seconds, warmUp, results }: SoakResults): string[] {
  return [
    ...head("Over time", machine),
    `${seconds < 120 ? `${seconds} seconds` : `${digits(seconds / 60)} minutes`} of configuration, rotations, scrapes, probes, DNS questions and, but for ${PEER}, reloads of Envoy at`,
    `a steady rate, all at the same time. The slope is that of resident memory after the first ${digits(warmUp * seconds)} s, with its standard`,
    "error; the delay is that of a tiny request to the status port, with the client's own in it.",
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

const namesOf = <K extends string>(record: Readonly<Record<K, unknown>>): K[] => Object.keys(record) as K[];

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
