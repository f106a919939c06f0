import { type IncomingHttpHeaders, request } from "node:http";
import { type BoundSocket, bindTcp, createLogger, createMetrics, Lifetime } from "../../src/base/index.ts";
import { createReadinessBoard, type ReadinessCheck, type StatusOptions, serveStatus } from "../../src/status/index.ts";

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
  readonly metrics: StatusOptions["metrics"];
  call(path: string, options?: { method?: string; headers?: Record<string, string> }): Promise<Answer>;
}

export interface RigOptions extends Partial<StatusOptions> {
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
  await life.own(
    "status",
    serveStatus(
      {
        socket: "peer" in options ? withPeer(socket, options.peer) : socket,
        board,
        metrics,
        quit: () => void called.push("quit"),
        drain: async () => void called.push("drain"),
        commandLine: ["pilotboat", "proxy", "sidecar"],
        log,
        ...options,
      },
      stop.signal,
    ),
  );
  return {
    port: socket.port,
    log: lines,
    called,
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
