import type { Logger, Metrics } from "../../base/index.ts";
import { describeEnd } from "./child.ts";
import { ENVOY_RESTARTS } from "./metrics.ts";
import type { RunRecord } from "./restart-policy.ts";
import { describeRun, type EnvoyEnd, isGood, logRun } from "./run-report.ts";
import type { Outcome } from "./states.ts";
import type { EnvoyCrash, EnvoyHistory, EnvoyNews, Traces } from "./supervised-envoy.ts";

export interface AccountsOptions {
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly keepEvidence: ((run: RunRecord, traces: Traces) => Promise<string | undefined>) | undefined;
  readonly onNews: ((news: EnvoyNews) => void) | undefined;
}

/** What becomes known of runs that ended by themselves: log lines, a metric, evidence, news, and the message of the last. */
export class Accounts {
  readonly #options: AccountsOptions;
  /** Of the process that ended last. */
  #traces: Traces | undefined;
  /** Of the run that is accounted for; older epochs may end after it. */
  #lastLines: readonly string[] = [];
  #restarts = 0;
  #lastCrash: EnvoyCrash | undefined;
  /** Everything that is still to be written and reported, in order. */
  #writing: Promise<void> = Promise.resolve();

  constructor(options: AccountsOptions) {
    this.#options = options;
  }

  /** To be reported before the lifecycle hears of the end. */
  noteEnd(traces: Traces): void {
    this.#traces = traces;
  }

  account(run: RunRecord, attempt: number | undefined, waitMs: number): void {
    const { log, metrics } = this.#options;
    const traces = this.#traces;
    logRun(run, log);
    this.#lastLines = traces?.lastLines ?? [];
    if (!isGood(run)) {
      const restartInMs = attempt === undefined ? undefined : waitMs;
      this.#writing = this.#writing.then(() => this.#tellCrash(run, traces, restartInMs));
    }
    if (attempt === undefined) return;
    metrics.count(ENVOY_RESTARTS);
    log.warn("Restarting Envoy", { attempt, waitMs: Math.round(waitMs) });
  }

  noteRestart(pid: number): void {
    this.#restarts++;
    this.#options.log.info("Envoy restarted", { pid });
    this.#writing = this.#writing.then(() => this.#options.onNews?.({ kind: "restarted", pid }));
  }

  history(): EnvoyHistory {
    const lastCrash = this.#lastCrash;
    return { restarts: this.#restarts, ...(lastCrash && { lastCrash }) };
  }

  /** Resolves once the evidence of every end so far is written and reported. */
  written(): Promise<void> {
    return this.#writing;
  }

  /** The end for those outside, once everything about it is written. */
  async close(outcome: Outcome): Promise<EnvoyEnd> {
    const lastLines = this.#lastLines;
    await this.#writing;
    if (outcome.by === "us") return outcome;
    return { by: "itself", run: outcome.run, message: describeRun(outcome.run, lastLines), lastLines };
  }

  async #tellCrash(run: RunRecord, traces: Traces | undefined, restartInMs: number | undefined): Promise<void> {
    const { keepEvidence, onNews } = this.#options;
    const { pid, end, endedMs, spawnFailure } = run;
    const hasTraces = traces !== undefined && spawnFailure === undefined;
    const evidence = hasTraces ? await keepEvidence?.(run, traces) : undefined;
    const crash = { pid, reason: spawnFailure ?? describeEnd(end), endedMs };
    this.#lastCrash = evidence === undefined ? crash : { ...crash, evidence };
    onNews?.({ kind: "crashed", crash: this.#lastCrash, restartInMs });
  }
}
