import { AgentError } from "../base/index.ts";
import { formatProblems, type Problem } from "./problem.ts";

/** What CONFIG_INVALID carries: every problem, document by document in the order of the lines. */
export class ConfigError extends AgentError {
  readonly problems: readonly Problem[];
  /** What is suspicious in the same documents: an unknown field may be why another one is missing. */
  readonly warnings: readonly Problem[];

  constructor(problems: readonly Problem[], warnings: readonly Problem[] = []) {
    const also = warnings.length === 0 ? [] : [`and ${count(warnings, "warning")}`, formatProblems(warnings)];
    const lines = [`The configuration has ${count(problems, "problem")}`, formatProblems(problems), ...also];
    super("CONFIG_INVALID", lines.join("\n"));
    this.problems = problems;
    this.warnings = warnings;
  }
}

function count(list: readonly unknown[], noun: string): string {
  return `${list.length} ${noun}${list.length === 1 ? "" : "s"}`;
}
