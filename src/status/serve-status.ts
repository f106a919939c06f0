import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { BoundSocket, Logger, MetricsRegistry } from "../base/index.ts";
import type { ReadinessBoard } from "./readiness-board.ts";
import { routeOf } from "./routes.ts";

export interface StatusOptions {
  /** Bound by the caller, who also closes it; connections that came early are served first. */
  readonly socket: BoundSocket;
  readonly board: ReadinessBoard;
  readonly metrics: MetricsRegistry;
  /** Where Envoy gives its own statistics; undefined leaves them out of the scrape. */
  readonly envoyStats?: EnvoyStatsSource | undefined;
  /** Metrics only for callers on this machine (`METRICS_LOCALHOST_ACCESS_ONLY`). Default false. */
  readonly metricsForLocalhostOnly?: boolean;
  /** Called after the answer of `POST /quitquitquit` has left. */
  readonly quit: () => void;
  /** Runs the drain of `POST /drain`; the answer waits for it. */
  readonly drain: () => Promise<void>;
  /** The DNS name table as JSON-ready value; undefined while there is none. */
  readonly nameTable?: (() => unknown) | undefined;
  /** Arguments of the process, for `/debug/pprof/cmdline`; undefined removes all of `/debug/pprof` (`--profiling=false`). */
  readonly commandLine?: readonly string[] | undefined;
  readonly log: Logger;
}

/** `host:port` of the listener that answers `GET /stats/prometheus` (`ENVOY_PROMETHEUS_PORT`). */
export interface EnvoyStatsSource {
  readonly host: string;
  readonly port: number;
}

/** A status server that answers until it is disposed of, also while Envoy drains. */
export interface StatusServer extends AsyncDisposable {
  readonly port: number;
}

/** Serves the status port: readiness, merged metrics, quit, drain and debug pages. */
export async function serveStatus(options: StatusOptions, stop: AbortSignal): Promise<StatusServer> {
  stop.throwIfAborted();
  const server = createServer((request, response) => void answer(request, response, options));
  options.socket.handOver((connection) => server.emit("connection", connection));
  options.log.info("Opening status port", { port: options.socket.port });
  return {
    port: options.socket.port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
    },
  };
}

async function answer(request: IncomingMessage, response: ServerResponse, options: StatusOptions): Promise<void> {
  await routeOf(request, options)(request, response);
}
