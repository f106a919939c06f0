import type { Difference } from "./observation.ts";

/** Why pilotboat and the reference may differ in one way: a row of a table. */
export interface Reason {
  /** The kind of difference in a few words; unique. */
  readonly name: string;
  /** Area and path of the differences, such as `files/etc`; `*` stands for one step, `**` for any number of them. */
  readonly at: readonly string[];
  /** Further conditions. Default: any difference there. */
  readonly when?: (difference: Difference) => boolean;
  /** What each of them does, and why pilotboat's way is better or makes no difference. */
  readonly why: string;
  /** It has nothing to do with the input: an input counts as equal all the same. */
  readonly isUniversal?: boolean;
  /** It depends on the runtime: on some it does not show, and the row stays all the same. */
  readonly isOfRuntime?: boolean;
}

export interface Explained {
  readonly difference: Difference;
  /** Undefined when no row of the table fits. */
  readonly reason: Reason | undefined;
}

/** Gives each difference the first row that fits. */
export function explain(differences: readonly Difference[], reasons: readonly Reason[]): Explained[] {
  return differences.map((difference) => ({ difference, reason: reasons.find((one) => fits(one, difference)) }));
}

function fits({ at, when }: Reason, difference: Difference): boolean {
  const place = `${difference.area}${difference.path}`;
  return at.some((pattern) => expressionOf(pattern).test(place)) && (when?.(difference) ?? true);
}

function expressionOf(pattern: string): RegExp {
  const [area = "", ...path] = pattern.split("/");
  const steps = path.map((step) => {
    if (step === "**") return "(/[^/]+)*";
    return step === "*" ? "/[^/]+" : `/${literally(step)}`;
  });
  return new RegExp(`^${literally(area)}${steps.join("")}$`);
}

function literally(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
