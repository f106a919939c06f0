import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2 } from "node:http2";
import { connect as connectSocket } from "node:net";
import { connect as connectTls } from "node:tls";
import { crc32 } from "node:zlib";
import { DELTA } from "../../src/xds/variant.ts";
import { message } from "../../test/support/wire-messages.ts";
import { NONCE_BYTES } from "./ads-source.ts";
import { GRPC_REQUEST_HEADERS, grpcFrame, nowNs, readPieces } from "./grpc-wire.ts";
import { CLUSTER, ENDPOINTS, LISTENER, typeUrl } from "./payload.ts";
import { type Orders, type RoleProcess, startRole } from "./roles.ts";

// The Envoy of a benchmark, as its control plane sees it, a role of its own: one delta ADS stream on node:http2 that
// subscribes to clusters and listeners and acknowledges everything.

export interface SinkSettings {
  /** The agent's socket, or the control plane itself: the floor. */
  readonly target: string | { readonly port: number; readonly rootPem: string };
  /** A reader with a window of 64 KiB that waits this long before it reads each message. */
  readonly pauseMs?: number;
}

/** One message on the clock of `nowNs`. */
export interface Received {
  readonly nonce: string;
  readonly bytes: number;
  /** CRC-32; only of the first message of each size. */
  readonly sum: number | undefined;
  /** The last byte was there. */
  readonly receivedNs: number;
  readonly ackSentNs: number;
}

export type SinkOrders = {
  /** What came since the last question. */
  take(none: null): Received[];
};

/** Resolves once the stream is open; its process ends with it. */
export const startAdsSink = (settings: SinkSettings): Promise<RoleProcess<SinkOrders>> =>
  startRole<SinkOrders>("sink", settings);

/** Envoy 1.38 offers these to its xDS server where the bootstrap says nothing else. */
const WINDOWS = { stream: 16 << 20, connection: 24 << 20 };
const SLOW_WINDOWS = { stream: 64 << 10, connection: 64 << 10 };

export async function serveAdsSink(settings: SinkSettings): Promise<SinkOrders> {
  const received: Received[] = [];
  await openSink(settings, (one) => received.push(one));
  return { take: () => received.splice(0) };
}

/** Several Envoys in one process, whose messages nobody asks for. */
export async function serveAdsSinks({ targets }: { targets: readonly string[] }): Promise<Orders> {
  for (const target of targets) await openSink({ target }, () => undefined);
  return {};
}

async function openSink({ target, pauseMs }: SinkSettings, take: (received: Received) => void): Promise<void> {
  const session = await connect(target, pauseMs === undefined ? WINDOWS : SLOW_WINDOWS);
  const stream = session.request({ ...GRPC_REQUEST_HEADERS, ":path": DELTA.method });
  stream.on("error", endWith).once("close", () => endWith("the ADS stream ended"));
  for (const request of subscriptions()) stream.write(request);
  takeMessages(stream, (one) => {
    take(one);
    if (pauseMs === undefined) return;
    stream.pause();
    setTimeout(() => stream.resume(), pauseMs);
  });
}

async function connect(target: SinkSettings["target"], windows: typeof WINDOWS): Promise<ClientHttp2Session> {
  const socket =
    typeof target === "string"
      ? connectSocket(target)
      : connectTls({ port: target.port, host: "localhost", ca: target.rootPem, ALPNProtocols: ["h2"] });
  await once(socket, typeof target === "string" ? "connect" : "secureConnect");
  const settings = { initialWindowSize: windows.stream, enablePush: false };
  const session = connectHttp2("http://localhost", { createConnection: () => socket, settings });
  session.on("error", endWith);
  await once(session, "connect");
  session.setLocalWindowSize(windows.connection);
  return session;
}

function takeMessages(stream: ClientHttp2Stream, take: (received: Received) => void): void {
  const seen = new Set<number>();
  let kept: Buffer[] = [];
  let bytes = 0;
  let end: Buffer = Buffer.alloc(0);
  readPieces(stream, (piece, left) => {
    bytes += piece.length;
    end = piece.length >= END_BYTES ? piece : Buffer.concat([end, piece]);
    if (!seen.has(bytes + left)) kept.push(piece); // the first of its size: it is summed up when it is complete
    if (left > 0) return;
    const receivedNs = nowNs();
    const nonce = end.subarray(-NONCE_BYTES).toString("latin1");
    const ackSentNs = nowNs();
    stream.write(acknowledgement(end, nonce));
    const sum = kept.length === 0 ? undefined : kept.reduce((sofar, each) => crc32(each, sofar), 0);
    seen.add(bytes);
    take({ nonce, bytes, sum, receivedNs, ackSentNs });
    [kept, bytes, end] = [[], 0, Buffer.alloc(0)];
  });
}

/** Type URL and nonce, the last two fields, are within this. */
const END_BYTES = 128;
const TYPES = [CLUSTER, ENDPOINTS, LISTENER].map(typeUrl);

function acknowledgement(end: Buffer, nonce: string): Buffer {
  const text = end.subarray(-END_BYTES).toString("latin1");
  const type = TYPES.find((one) => text.includes(one)) ?? "";
  return grpcFrame(message([DELTA.request.typeUrl, type], [DELTA.request.nonce, nonce]));
}

/** As Envoy begins: the node stands in the first request only. It lists no extensions, so nothing is adapted to it. */
function subscriptions(): Buffer[] {
  const node = message([1, "sidecar~127.0.0.1~bench.default~default.svc.cluster.local"], [2, "bench.default"]);
  return [CLUSTER, LISTENER].map((type, index) =>
    grpcFrame(
      message(
        ...(index === 0 ? ([[DELTA.request.node, node]] as const) : []),
        [DELTA.request.typeUrl, typeUrl(type)],
        [DELTA.request.names, "*"],
      ),
    ),
  );
}

function endWith(reason: unknown): void {
  console.error(reason);
  process.exit(1);
}
