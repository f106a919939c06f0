import { basename } from "node:path";
import type { Difference, Json } from "./observation.ts";
import type { Explained, Reason } from "./reasons.ts";
import type { ComparedRun, Result } from "./run-inputs.ts";
import type { Comparison } from "./subject.ts";

/** A few lines for each difference that no row of the table explains. */
export function unexplained(results: readonly Result[], only?: string): string[] {
  return results.flatMap(({ number, input, runs }) => {
    const programs = new Map<string, string[]>();
    for (const { program, differences } of runs) {
      for (const { difference, reason } of differences) {
        if (reason !== undefined || !isIn(difference.area, only)) continue;
        const text = describe(difference);
        programs.set(text, [...(programs.get(text) ?? []), program]);
      }
    }
    return [...programs].map(([text, names]) => `${number} "${input.name}" (${names.join(", ")}): ${text}`);
  });
}

function describe({ area, path, reference, pilotboat }: Difference): string {
  return [`${area}${path}`, show(reference), show(pilotboat)].join("\n    ");
}

/** Rows of the table that explain nothing. */
export function unusedReasons(results: readonly Result[], reasons: readonly Reason[]): Reason[] {
  const used = new Set(allDifferences(results).map(({ reason }) => reason));
  return reasons.filter((reason) => !used.has(reason) && reason.isOfRuntime !== true);
}

/** One line for each area. */
export function summary(results: readonly Result[], { areas }: Comparison, only?: string): string {
  const rows = Object.keys(areas)
    .filter((area) => isIn(area, only))
    .map((area) => {
      const { inputs, equal, explained, unexplained } = count(results, area);
      const trouble = unexplained === 0 ? "" : `, ${unexplained} WITHOUT A REASON`;
      return `${area.padEnd(12)} ${inputs} inputs: ${equal} equal, ${explained} different with a reason${trouble}`;
    });
  return rows.join("\n");
}

interface Counts {
  readonly inputs: number;
  readonly equal: number;
  readonly explained: number;
  readonly unexplained: number;
}

/** Differences that are in every run do not count. */
function count(results: readonly Result[], area: string): Counts {
  const inputs = results.filter(({ areas }) => areas.includes(area));
  const differences = inputs.map((result) =>
    allDifferences([result]).filter(
      ({ difference, reason }) => difference.area === area && reason?.isUniversal !== true,
    ),
  );
  const unexplained = differences.filter((all) => all.some(({ reason }) => reason === undefined)).length;
  const equal = differences.filter((all) => all.length === 0).length;
  return { inputs: inputs.length, equal, explained: inputs.length - equal - unexplained, unexplained };
}

function allDifferences(results: readonly Result[]): Explained[] {
  return results.flatMap(({ runs }) => runs.flatMap(({ differences }) => differences));
}

function isIn(area: string, only: string | undefined): boolean {
  return only === undefined || only === area;
}

const MOST = 400;

function show(value: Json | undefined): string {
  const text = value === undefined ? "(nothing)" : JSON.stringify(value);
  return text.length > MOST ? `${text.slice(0, MOST)}…` : text;
}

/** What a report was made of. */
export interface Made {
  /** Version of Istio's module. */
  readonly istio: string;
  readonly seed: number;
  /** Inputs by chance. */
  readonly count: number;
}

/** What docs/parity.md says before its sections. */
const HEAD = [
  "# Parity with pilot-agent",
  "",
  "`npm run parity` gives the same inputs to Istio's own `pilot-agent` and to pilotboat, and writes this page: a section for each",
  "command, which `npm run parity -- NAME` writes alone. A difference that no row below explains fails the command, and so does",
  "a row that explains nothing any more.",
  "",
].join("\n");

/** The page with this section in the place of an older one of the same title; the others stay. */
export function withSection(page: string, section: string): string {
  const titleOf = (text: string): string | undefined => /^## (.+)$/m.exec(text)?.[1];
  const others = page.split(/^(?=## )/m).slice(1);
  const isKnown = others.some((other) => titleOf(other) === titleOf(section));
  const sections = others.map((other) => (titleOf(other) === titleOf(section) ? section : other));
  return [HEAD, ...(isKnown ? sections : [...sections, section])].map((text) => `${text.trimEnd()}\n`).join("\n");
}

/** A section of docs/parity.md. Nothing in it depends on the machine or the hour. */
export function reportSection(
  results: readonly Result[],
  { title, about, areas, reasons }: Comparison,
  made: Made,
): string {
  const universal = reasons.filter(({ isUniversal }) => isUniversal);
  return [
    `## ${title}`,
    "",
    ...about,
    "",
    ...result(results, made),
    "",
    "### What is compared",
    "",
    ...table(
      ["area", "what", "inputs", "equal", "different, with a reason"],
      Object.entries(areas).map(([area, what]) => {
        const { inputs, equal, explained } = count(results, area);
        return [area, what, inputs, equal, explained];
      }),
    ),
    "",
    "An area counts where both came to it. What differs in every run does not count.",
    "",
    ...(universal.length === 0
      ? []
      : [
          "### What differs in every run",
          "",
          ...table(
            ["difference", "in", "why"],
            universal.map((reason) => [reason.name, areasOf(reason), reason.why]),
          ),
          "",
        ]),
    "### What differs with some inputs",
    "",
    ...table(
      ["difference", "in", "inputs", "for example", "why"],
      reasons
        .filter(({ isUniversal }) => isUniversal !== true)
        .map((reason) => {
          const shown = results.filter((result) => allDifferences([result]).some((one) => one.reason === reason));
          return [reason.name, areasOf(reason), shown.length, exampleOf(shown), reason.why];
        }),
    ),
    "",
  ].join("\n");
}

function result(results: readonly Result[], { istio, seed, count }: Made): string[] {
  const programs = results[0]?.runs.map(({ program }) => basename(program)).join(" and ");
  const equal = results.filter((one) => allDifferences([one]).every(({ reason }) => reason?.isUniversal)).length;
  const agreeing = results.filter(({ runs }) => new Set(runs.map(reasonsOf)).size === 1).length;
  const isOneForm = results.every(({ runs }) => runs.length < 2);
  return [
    `${results.length} inputs, ${count} of them by chance (seed ${seed}), to Istio ${istio} and to pilotboat (${programs}).`,
    `${equal} are equal in everything but what differs in every run, ${results.length - equal} differ with a reason.`,
    ...(isOneForm ? [] : [`The forms of pilotboat differ from pilot-agent in the same way with ${agreeing} inputs.`]),
  ];
}

function reasonsOf({ differences }: ComparedRun): string {
  const named = differences.filter(({ reason }) => reason?.isUniversal !== true).map(({ reason }) => reason?.name);
  return [...new Set(named)].sort().join("\n");
}

function areasOf({ at }: Reason): string {
  return [...new Set(at.map((pattern) => pattern.split("/")[0]))].join(", ");
}

function exampleOf([first]: readonly Result[]): string {
  return first === undefined ? "–" : `\`${first.input.name.replaceAll("`", "'")}\``;
}

function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] {
  const cells = (row: readonly (string | number)[]): string =>
    `| ${row.map((cell) => String(cell).replaceAll("|", "\\|")).join(" | ")} |`;
  return [cells(head), cells(head.map(() => "---")), ...rows.map(cells)];
}
