import type { Clock, Logger, Metrics } from "../../base/index.ts";
import type { StopSignals } from "../../host/index.ts";
import type { AdminClient } from "../admin-client.ts";
import type { EnvoyFeatures } from "../version-table.ts";
import type { SpawnOptions } from "./child.ts";
import type { DrainOptions } from "./drain.ts";
import type { HotRestartOptions } from "./hot-restart.ts";
import type { RestartPolicy, RunRecord } from "./restart-policy.ts";
import type { EnvoyEnd } from "./run-report.ts";
import type { State } from "./states.ts";

export interface SuperviseOptions {
  readonly spawn: SpawnOptions;
  readonly features: EnvoyFeatures;
  readonly admin: AdminClient;
  readonly drain: DrainOptions;
  readonly restart: RestartPolicy;
  /** Allows `replace`; the arguments must not switch hot restart off. Undefined: it is off. */
  readonly hotRestart?: HotRestartOptions | undefined;
  /** Laid over the environment of each process. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly signals: Pick<StopSignals, "hurry" | "force">;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock?: Clock;
  /** Called for every process that was started. */
  readonly onSpawn?: (pid: number, spawn: SpawnOptions) => void;
  /** Called, in order, for each Envoy that crashed, once its evidence is kept, and for each that was restarted. */
  readonly onNews?: ((news: EnvoyNews) => void) | undefined;
  /** Watches a live Envoy; resolves when it hangs, with what is to be kept of that, or undefined when `stop` aborts. */
  readonly watchForHang?: (pid: number, stop: AbortSignal) => Promise<string | undefined>;
  /** Keeps what is to be known of a run that failed; resolves with where. Never rejects. */
  readonly keepEvidence?: (run: RunRecord, traces: Traces) => Promise<string | undefined>;
}

/** An Envoy that ended by itself, and not well; or one that could not be started again. */
export interface EnvoyCrash {
  readonly pid: number;
  /** For example `signal: killed`. */
  readonly reason: string;
  /** Milliseconds since the epoch. */
  readonly endedMs: number;
  /** The folder with what is known of it; absent when nothing could be kept. */
  readonly evidence?: string;
}

export type EnvoyNews =
  /** `restartInMs` is undefined when it is not started again. */
  | { readonly kind: "crashed"; readonly crash: EnvoyCrash; readonly restartInMs: number | undefined }
  | { readonly kind: "restarted"; readonly pid: number };

/** What one agent's Envoys went through. */
export interface EnvoyHistory {
  /** How often Envoy restarted after it had ended by itself. */
  readonly restarts: number;
  readonly lastCrash?: EnvoyCrash;
}

/** What one run leaves to be looked at. */
export interface Traces {
  readonly lastLines: readonly string[];
  /** The watchdog's, when it hung. */
  readonly threads: string | undefined;
  readonly spawn: SpawnOptions;
}

/** Whether the next epoch took over; if not, the previous one serves on, unless it exited meanwhile. */
export type Replacement =
  | { readonly kind: "replaced"; readonly pid: number; readonly epoch: number }
  | { readonly kind: "refused"; readonly reason: string };

/** A supervised Envoy: until `ended`, there is a child or one is about to be started again. */
export interface SupervisedEnvoy extends AsyncDisposable {
  state(): State;
  /** The process that serves, if there is one now. */
  pid(): number | undefined;
  /** How many processes live: two or three during a hot restart and the drain after it. */
  count(): number;
  history(): EnvoyHistory;
  /** How long replaced Envoys may still drain, at most; 0 when there is none. */
  drainLeftMs(): number;
  /** Settles once, when there will be no further child; never rejects. */
  readonly ended: Promise<EnvoyEnd>;
  /**
   * Hot restart: starts the next epoch with `next`, which takes over once it is live. What is started cold after that
   * is started with `settled`. Never rejects.
   */
  replace(next: SpawnOptions, settled: SpawnOptions): Promise<Replacement>;
  /** `POST /drain`: drains and lets Envoy run on; the end of one that was live then comes without waiting. */
  drain(): Promise<void>;
  /** The next stop is immediate, and so is the rest of one that drains already (`POST /quitquitquit`). */
  skipDrain(): void;
  /** Drains as configured and sends Envoy SIGTERM. Resolves then: it asks for nothing more. Never rejects. */
  stop(): Promise<void>;
  /** Stops as `stop` does, and waits until every process is gone. */
  [Symbol.asyncDispose](): Promise<void>;
}
