import type { BoundSocket, Logger, MetricsRegistry } from "../base/index.ts";
import type { ReadinessBoard } from "./readiness-board.ts";
import type { EnvoyStatsSource } from "./scrape.ts";

export interface StatusOptions {
  /** Bound by the caller, who also closes it; connections that came early are served first. */
  readonly socket: BoundSocket;
  readonly board: ReadinessBoard;
  /** What is to be known beside the answer of `/healthz/ready`, a line each. Default: nothing. */
  readonly notes?: (() => readonly string[]) | undefined;
  readonly metrics: MetricsRegistry;
  /** Where Envoy gives its own statistics; undefined leaves them out of the scrape. */
  readonly envoyStats?: EnvoyStatsSource | undefined;
  /** Metrics only for callers on this machine (`METRICS_LOCALHOST_ACCESS_ONLY`). Default false. */
  readonly metricsForLocalhostOnly?: boolean;
  /** Called after the answer of `POST /quitquitquit` has left. */
  readonly quit: () => void;
  /** Runs the drain of `POST /drain`; the answer waits for it. */
  readonly drain: () => Promise<void>;
  /**
   * What `POST /reload` does, and with `?if=changed` only where that has another result; resolves with a JSON-ready
   * report. Undefined: there is nothing to reload.
   */
  readonly reload?:
    | ((options: { readonly evenIfUnchanged: boolean }) => Promise<{ readonly outcome: string }>)
    | undefined;
  /** The DNS name table as JSON-ready value; undefined while there is none. */
  readonly nameTable?: (() => unknown) | undefined;
  /** What `pilotboat status` shows, as JSON-ready value; undefined removes `/debug/agent`. */
  readonly agentReport?: (() => unknown) | undefined;
  /** Arguments of the process, for `/debug/pprof/cmdline`; undefined removes all of `/debug/pprof` (`--profiling=false`). */
  readonly commandLine?: readonly string[] | undefined;
  readonly log: Logger;
}
