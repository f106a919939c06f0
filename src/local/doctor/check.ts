import { AgentError, describeError, systemClock } from "../../base/index.ts";

export type State = "ok" | "warning" | "failed" | "skipped";

export interface Finding {
  readonly state: State;
  /** What was found, in one line. */
  readonly found: string;
  /** What helps: a command, or one sentence. */
  readonly fix?: string | undefined;
}

/** One precondition. It knows nothing of the others, but for their names. */
export interface Check {
  readonly name: string;
  /** Checks without which this one says nothing: it is skipped when one of them failed or was skipped. */
  readonly needs: readonly string[];
  /** What it rejects with is a failed finding. */
  run(signal: AbortSignal): Promise<Finding>;
  /** What it still waited for when its time was over, and what helps. */
  late?(): Promise<Pick<Finding, "found" | "fix"> | undefined>;
}

export interface CheckResult extends Finding {
  readonly name: string;
}

export const ok = (found: string): Finding => ({ state: "ok", found });
export const warning = (found: string, fix?: string): Finding => ({ state: "warning", found, fix });
export const failed = (found: string, fix?: string): Finding => ({ state: "failed", found, fix });
export const skipped = (found: string): Finding => ({ state: "skipped", found });

/** An error as a finding: its hint is the fix. */
function failure(error: unknown): Finding {
  return failed(describeError(error), error instanceof AgentError ? error.hint : undefined);
}

const LIMIT_MS = 20_000;

/**
 * Runs all checks at the same time, as far as their needs allow; the results have the order of the list. Each has a time
 * limit of its own. Rejects with the reason of `stop` only.
 */
export async function runChecks(
  checks: readonly Check[],
  stop: AbortSignal,
  limitMs: number = LIMIT_MS,
): Promise<readonly CheckResult[]> {
  const results = new Map<string, Promise<CheckResult>>();
  for (const check of checks) {
    const needs = check.needs.map(
      (name) => results.get(name) ?? Promise.reject(new Error(`no check "${name}" before`)),
    );
    results.set(check.name, runCheck(check, Promise.all(needs), { stop, limitMs }));
  }
  const all = await Promise.all(results.values());
  stop.throwIfAborted();
  return all;
}

async function runCheck(
  check: Check,
  needs: Promise<readonly CheckResult[]>,
  { stop, limitMs }: { readonly stop: AbortSignal; readonly limitMs: number },
): Promise<CheckResult> {
  const { name } = check;
  const missing = (await needs).find(({ state }) => state === "failed" || state === "skipped");
  if (missing !== undefined) return { name, ...skipped(because(missing)) };
  const end = new AbortController();
  const limit = systemClock.sleep(limitMs, AbortSignal.any([stop, end.signal])).then(() => tooLate(check, limitMs));
  const signal = AbortSignal.any([stop, end.signal]);
  const own = check.run(signal).catch((error: unknown) => failure(error));
  const finding = await Promise.race([own, limit]).catch((error: unknown) => failure(error)); // a stop ends the limit
  end.abort(new Error("the check is over"));
  await limit.catch(() => undefined);
  return { name, ...finding };
}

async function tooLate({ late }: Check, limitMs: number): Promise<Finding> {
  const because = await late?.();
  const text = `no result within ${limitMs / 1_000} s`;
  return because === undefined ? failed(text) : failed(`${text}: ${because.found}`, because.fix);
}

/** The first reason of a chain of skipped checks. */
function because({ name, state, found }: CheckResult): string {
  return state === "skipped" ? found : `needs "${name}"`;
}

/** What the worst finding means for a command: a warning is no failure. */
export function exitCodeOf(results: readonly Finding[]): 0 | 1 {
  return results.some(({ state }) => state === "failed") ? 1 : 0;
}
