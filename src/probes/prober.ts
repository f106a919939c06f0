import { describeError, joinHostPort, LONGEST_TIMER_MS, type Logger, pause, startLimit } from "../base/index.ts";
import {
  checkHealth,
  createExchanges,
  type Destination,
  dial,
  type Exchanges,
  getFollowing,
  type HeaderLists,
  type HealthAnswer,
} from "../exchange/index.ts";
import { Code } from "../grpc/index.ts";
import type { AppProbe } from "./table/index.ts";

export interface ProberOptions {
  readonly probes: ReadonlyMap<string, AppProbe>;
  readonly destination: Destination;
  /** A `Host` with this port is given the application's instead. */
  readonly statusPort: number;
  /** `ISTIO_ENABLE_HTTP2_PROBING`. */
  readonly offersHttp2: boolean;
  /** `ENABLE_PROBE_KEEPALIVE_CONNECTIONS`. */
  readonly keepsAlive: boolean;
  readonly log: Logger;
}

/** What the kubelet asks. */
export interface ProbeRequest {
  /** Decoded, without the query. */
  readonly path: string;
  /** Names and values in turn, as they came. */
  readonly rawHeaders: readonly string[];
  /** Aborts when the caller is gone. */
  readonly gone: AbortSignal;
}

export interface ProbeAnswer {
  readonly status: number;
  readonly body: string | Buffer;
}

export interface Prober {
  /** Never rejects. */
  answer(request: ProbeRequest): Promise<ProbeAnswer>;
}

/** For a gRPC probe that names no time. Source: Kubernetes' default of `timeoutSeconds`. */
const GRPC_LIMIT_MS = 1_000;
/** A port that is closed may be that of an application that starts; the kubelet asks again anyway. */
const GRPC_CONNECT_LIMIT_MS = 1_500;
const GRPC_AGAIN_MS = 100;

/** Asks the application in the kubelet's place. Source: istio/istio pilot/cmd/pilot-agent/status/server.go. */
export function createProber(options: ProberOptions): Prober {
  const { destination, offersHttp2, keepsAlive } = options;
  const log = options.log.scope("probes");
  const exchanges = new Map<AppProbe, Exchanges>();
  const exchangesOf = (probe: AppProbe): Exchanges => {
    const found = exchanges.get(probe) ?? createExchanges({ destination, offersHttp2, keepsAlive });
    exchanges.set(probe, found);
    return found;
  };
  const failing = new Map<string, string>();
  const tell = (path: string, reason: string | undefined): void => {
    const before = failing.get(path);
    if (reason === undefined) failing.delete(path);
    else failing.set(path, reason);
    if (reason !== undefined && reason !== before) log.error("Request to probe app failed", { path, reason });
    if (reason === undefined && before !== undefined) log.info("Probe of the application succeeds again", { path });
  };
  return {
    async answer(request) {
      const { path } = request;
      const probe = options.probes.get(path);
      if (probe === undefined) {
        log.error(`app prober config does not exists for ${path}`);
        return { status: 400, body: `app prober config does not exists for ${path}` };
      }
      try {
        const answer = await ask(probe, request, { ...options, exchanges: exchangesOf(probe) });
        tell(path, undefined);
        return answer;
      } catch (error) {
        if (!request.gone.aborted) tell(path, describeError(error));
        return { status: 500, body: "" };
      }
    },
  };
}

type Around = ProberOptions & { readonly exchanges: Exchanges };

async function ask(probe: AppProbe, request: ProbeRequest, around: Around): Promise<ProbeAnswer> {
  const limitMs = probe.timeoutMs === 0 && probe.kind === "grpc" ? GRPC_LIMIT_MS : probe.timeoutMs;
  const mostMs = limitMs || LONGEST_TIMER_MS; // who asks without a limit ends it by leaving
  const limit = startLimit(request.gone, mostMs, () => new Error(`no answer within ${limitMs} ms`));
  const { signal } = limit;
  try {
    if (probe.kind === "http") return await askHttp(probe, request, around, signal);
    if (probe.kind === "grpc") await askGrpc(probe, request, around, signal);
    else (await dial(around.destination, probe.port, signal)).destroy();
    return { status: 200, body: "" };
  } finally {
    limit[Symbol.dispose]();
  }
}

type HttpProbe = Extract<AppProbe, { kind: "http" }>;
type GrpcProbe = Extract<AppProbe, { kind: "grpc" }>;

async function askHttp(
  probe: HttpProbe,
  request: ProbeRequest,
  around: Around,
  signal: AbortSignal,
): Promise<ProbeAnswer> {
  const { destination, statusPort, exchanges } = around;
  const first = new URL(
    `${probe.isSecure ? "https" : "http"}://${joinHostPort(destination.host, probe.port)}${probe.path}`,
  );
  const headers = forwarded(request.rawHeaders, statusPort, probe.port);
  const { status, body } = await getFollowing(
    { exchanges, first, headers: { host: [first.host], ...headers } },
    signal,
  );
  const isEmpty = body.length === 0 || (status >= 300 && status < 400);
  return { status: status >= 300 && status < 400 ? 200 : status, body: isEmpty ? "" : body };
}

async function askGrpc(probe: GrpcProbe, request: ProbeRequest, around: Around, signal: AbortSignal): Promise<void> {
  const { destination } = around;
  const untilMs = performance.now() + GRPC_CONNECT_LIMIT_MS;
  for (;;) {
    try {
      const socket = await dial(destination, probe.port, signal);
      const userAgent = [...valuesOf(request.rawHeaders, "user-agent"), "pilotboat"].join(" ");
      const authority = joinHostPort(destination.host, probe.port);
      return refuseUnhealthy(await checkHealth(socket, { service: probe.service, authority, userAgent }, signal));
    } catch (error) {
      const isClosed = (error as NodeJS.ErrnoException).code === "ECONNREFUSED";
      if (!isClosed || performance.now() > untilMs) throw error;
      await pause(GRPC_AGAIN_MS, signal);
      if (signal.aborted) throw error; // says more than the end of the time
    }
  }
}

function refuseUnhealthy({ code, message, state }: HealthAnswer): void {
  if (code === Code.UNIMPLEMENTED) throw new Error("the application does not implement the gRPC health protocol");
  if (code !== Code.OK) throw new Error(`gRPC status ${code ?? "missing"}${message ? `: ${message}` : ""}`);
  if (state !== "SERVING") throw new Error(`the application's health is ${state}`);
}

/** Those of the connection to us are not passed on. Source: RFC 9110 section 7.6.1. */
const OF_THE_CONNECTION = [
  ...["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"],
  "content-length",
];

/** The caller's headers, with all their values; its `Host` with our port is given the application's. */
function forwarded(rawHeaders: readonly string[], statusPort: number, appPort: number): HeaderLists {
  const lists: Record<string, string[]> = Object.create(null); // the caller chooses the names
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const [name = "", value = ""] = [rawHeaders[at]?.toLowerCase(), rawHeaders[at + 1]];
    if (OF_THE_CONNECTION.includes(name)) continue;
    const list = lists[name] ?? [];
    list.push(name === "host" ? value.replace(new RegExp(`:${statusPort}$`), `:${appPort}`) : value);
    lists[name] = list;
  }
  return lists;
}

function valuesOf(rawHeaders: readonly string[], wanted: string): string[] {
  return rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === wanted);
}
