import { escapeLine } from "../base/index.ts";
import { hideSecretsInText } from "../istio/index.ts";

/** Where a value was written: a variable, a flag, an annotation, or a place in a document. */
export interface Origin {
  /** `PROXY_CONFIG`, `--concurrency`, `annotation proxy.istio.io/config`, `etc/istio/config/mesh`, `default`. */
  readonly source: string;
  /** Counted from 1; absent where the source has no lines. */
  readonly line?: number;
  readonly column?: number;
}

/** One thing that is wrong with what the user wrote. */
export interface Problem {
  /** Name of the value, for example `drainDuration` or `SECRET_TTL`. */
  readonly name: string;
  readonly origin: Origin;
  /** What is wrong, in one line; where the next two are known it says them. */
  readonly message: string;
  readonly found?: string;
  readonly wanted?: string;
  readonly hint?: string;
}

export const DEFAULT_ORIGIN: Origin = { source: "default" };

/** `PROXY_CONFIG:3:12`, or just the source. */
export function formatOrigin({ source, line, column }: Origin): string {
  return line === undefined ? source : `${source}:${line}:${column ?? 1}`;
}

/** A problem on one line, for a log: `PROXY_CONFIG:3:12: drainDuration: found 90, wanted a duration`. */
export function formatProblem({ name, origin, message, hint }: Problem): string {
  return show(`${formatPlace(name, origin)}: ${message}${hint === undefined ? "" : `. ${hint}`}`);
}

/** Where and which value; once, where they are the same. */
function formatPlace(name: string, origin: Origin): string {
  return origin.source === name ? formatOrigin(origin) : `${formatOrigin(origin)}: ${name}`;
}

/** One block per problem: where and which value, then what is wrong, then the hint. */
export function formatProblems(problems: readonly Problem[]): string {
  const lines = problems.flatMap(({ name, origin, message, hint }) => [
    `  ${formatPlace(name, origin)}`,
    `    ${message}`,
    ...(hint === undefined ? [] : [`    hint: ${hint}`]),
  ]);
  return lines.map(show).join("\n");
}

/** A message quotes what was found. */
function show(line: string): string {
  return escapeLine(hideSecretsInText(line));
}

/** A problem of the form "found this, wanted that". */
export function mismatch(found: string, wanted: string): Pick<Problem, "message" | "found" | "wanted"> {
  return { message: `found ${found}, wanted ${wanted}`, found, wanted };
}

/** The value as it is shown in a message: short, on one line, strings in quotes. */
export function showFound(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  if (typeof value === "object" && value !== null) return "a mapping";
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`;
}
