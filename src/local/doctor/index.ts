export { type CheckResult, exitCodeOf, type State } from "./check.ts";
export { examine } from "./examine.ts";
export type { FoundAgent } from "./local-checks.ts";
