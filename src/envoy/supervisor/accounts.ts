import type { Logger, Metrics } from "../../base/index.ts";
import type { RunRecord } from "./restart-policy.ts";
import { describeRun, type EnvoyEnd, isGood, logRun } from "./run-report.ts";
import type { Outcome } from "./states.ts";
import type { Traces } from "./supervised-envoy.ts";

export interface AccountsOptions {
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly keepEvidence: ((run: RunRecord, traces: Traces) => Promise<string | undefined>) | undefined;
}

/** What becomes known of runs that ended by themselves: log lines, a metric, evidence, and the message of the last. */
export class Accounts {
  readonly #options: AccountsOptions;
  /** Of the process that ended last. */
  #traces: Traces | undefined;
  /** Of the run that is accounted for; older epochs may end after it. */
  #lastLines: readonly string[] = [];
  /** Everything that is still to be written. */
  #writing: Promise<void> = Promise.resolve();

  constructor(options: AccountsOptions) {
    this.#options = options;
  }

  /** To be told before the lifecycle hears of the end. */
  noteEnd(traces: Traces): void {
    this.#traces = traces;
  }

  account(run: RunRecord, attempt: number | undefined, waitMs: number): void {
    const { log, metrics, keepEvidence } = this.#options;
    const traces = this.#traces;
    logRun(run, log);
    this.#lastLines = traces?.lastLines ?? [];
    if (keepEvidence !== undefined && traces !== undefined && run.spawnFailure === undefined && !isGood(run)) {
      this.#writing = this.#writing.then(async () => void (await keepEvidence(run, traces)));
    }
    if (attempt === undefined) return;
    metrics.count("envoy_restarts_total");
    log.warn("Starting Envoy again", { attempt, waitMs: Math.round(waitMs) });
  }

  /** The end for those outside, once everything about it is written. */
  async close(outcome: Outcome): Promise<EnvoyEnd> {
    const lastLines = this.#lastLines;
    await this.#writing;
    if (outcome.by === "us") return outcome;
    return { by: "itself", run: outcome.run, message: describeRun(outcome.run, lastLines), lastLines };
  }
}
