import { type IncomingHttpHeaders, request } from "node:http";
import {
  type BoundSocket,
  bindTcp,
  createLogger,
  createMetrics,
  Lifetime,
  type MetricsRegistry,
} from "../../src/base/index.ts";
import {
  createReadinessBoard,
  drainRoute,
  jsonRoute,
  metricsRoutes,
  profileRoute,
  quitRoute,
  type ReadinessBoard,
  type ReadinessCheck,
  type Route,
  readyRoute,
  reloadRoute,
  serveStatus,
} from "../../src/status/index.ts";
import type { ReloadCall } from "../../src/status/routes-for-parts.ts";
import type { EnvoyStatsSource } from "../../src/status/scrape.ts";
import type { ScrapeTarget } from "../../src/status/targets/index.ts";

export interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly text: string;
}

export interface Rig extends AsyncDisposable {
  readonly port: number;
  readonly log: string[];
  readonly called: string[];
  readonly stop: AbortController;
  readonly board: ReadinessBoard;
  readonly metrics: MetricsRegistry;
  call(path: string, options?: { method?: string; headers?: Record<string, string> }): Promise<Answer>;
}

export interface RigOptions {
  readonly socket?: BoundSocket;
  readonly notes?: () => readonly string[];
  readonly envoyStats?: EnvoyStatsSource;
  readonly targets?: readonly ScrapeTarget[];
  readonly metricsForLocalhostOnly?: boolean;
  readonly drain?: () => Promise<void>;
  readonly reload?: ReloadCall;
  readonly nameTable?: () => unknown;
  readonly agentReport?: () => unknown;
  readonly commandLine?: readonly string[] | undefined;
  /** Of another part. */
  readonly routes?: readonly Route[];
  readonly checks?: readonly ReadinessCheck[];
  /** What callers look like to the server; their real address when absent. */
  readonly peer?: string | undefined;
}

/** A status server on a free port of the loopback; quit and drain are noted in `called`. */
export async function startRig(options: RigOptions = {}): Promise<Rig> {
  const life = new Lifetime();
  const socket = await life.own("socket", bindTcp("127.0.0.1", 0));
  const stop = new AbortController();
  const lines: string[] = [];
  const called: string[] = [];
  const metrics = createMetrics("istio_agent_");
  const log = createLogger({ write: (line) => void lines.push(line.replace(/^[^\t]*\t/, "").trimEnd()) });
  const board = createReadinessBoard({ checks: options.checks ?? [], stop: stop.signal, log });
  const {
    envoyStats,
    targets = [],
    metricsForLocalhostOnly: areLocalOnly = false,
    nameTable = () => undefined,
  } = options;
  const { commandLine } = "commandLine" in options ? options : { commandLine: ["pilotboat", "proxy", "sidecar"] };
  const routes = [
    readyRoute(board, options.notes ?? (() => [])),
    ...metricsRoutes({ metrics, log, envoyStats, targets, areLocalOnly }),
    quitRoute(() => void called.push("quit"), log),
    drainRoute(options.drain ?? (async () => void called.push("drain")), log),
    reloadRoute(options.reload),
    jsonRoute("/debug/ndsz", nameTable),
    jsonRoute("/debug/agent", options.agentReport ?? (() => undefined)),
    ...(commandLine === undefined ? [] : [profileRoute(async () => commandLine)]),
    ...(options.routes ?? []),
  ];
  const listening = options.socket ?? socket;
  await life.own(
    "status",
    serveStatus(
      { socket: "peer" in options ? withPeer(listening, options.peer) : listening, routes, log },
      stop.signal,
    ),
  );
  return {
    port: socket.port,
    log: lines,
    called,
    board,
    stop,
    metrics,
    call: (path, how = {}) => call({ port: socket.port, path, ...how }),
    [Symbol.asyncDispose]: () => life[Symbol.asyncDispose](),
  };
}

function withPeer(socket: BoundSocket, peer: string | undefined): BoundSocket {
  return {
    ...socket,
    handOver: (accept) =>
      socket.handOver((connection) => {
        Object.defineProperty(connection, "remoteAddress", { value: peer });
        accept(connection);
      }),
  };
}

function call(options: { port: number; path: string; method?: string; headers?: Record<string, string> }) {
  return new Promise<Answer>((resolve, reject) => {
    const outgoing = request({ host: "127.0.0.1", agent: false, ...options }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => {
        const body = Buffer.concat(chunks);
        resolve({ status: response.statusCode, headers: response.headers, body, text: body.toString() });
      });
    });
    outgoing.on("error", reject).end();
  });
}
