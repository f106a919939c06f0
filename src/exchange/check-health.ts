import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from "node:http2";
import type { Socket } from "node:net";
import { encodeFields, readFields } from "../proto/wire.ts";

const PATH = "/grpc.health.v1.Health/Check";
/** The names of `grpc.health.v1.HealthCheckResponse.ServingStatus`. */
const STATES = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const MOST_BYTES = 4_096;

/** How a gRPC server answers for the health of a service. */
export interface HealthAnswer {
  /** gRPC's status code; undefined when the server sent none. */
  readonly code: number | undefined;
  /** The message of that status; undefined with the code. */
  readonly message: string | undefined;
  /** Name of the health where the code is 0: `SERVING`, `NOT_SERVING`, `UNKNOWN` or `SERVICE_UNKNOWN`; a number without a name. */
  readonly state: string;
}

export interface HealthQuestion {
  /** Empty for the whole server. */
  readonly service: string;
  /** `host:port` */
  readonly authority: string;
  readonly userAgent: string;
  /** Called once the server speaks HTTP/2. */
  readonly onConnected?: () => void;
}

/**
 * Asks a gRPC server for its health over a connection that is there, which it ends. Rejects with what failed on the
 * way, or the reason of `signal`. Source: the gRPC health checking protocol.
 */
export async function checkHealth(
  socket: Socket,
  question: HealthQuestion,
  signal: AbortSignal,
): Promise<HealthAnswer> {
  const session = connect(`http://${question.authority}`, { createConnection: () => socket });
  session.once("remoteSettings", () => question.onConnected?.());
  try {
    const { headers, trailers, body } = await exchange(session, question, signal);
    const status = String(trailers["grpc-status"] ?? headers["grpc-status"] ?? "");
    const text = String(trailers["grpc-message"] ?? headers["grpc-message"] ?? "");
    const state = stateOf(body);
    const hasStatus = /^\d+$/.test(status);
    return {
      code: hasStatus ? Number(status) : undefined,
      message: hasStatus ? decodeMessage(text) : undefined,
      state: STATES[state] ?? String(state),
    };
  } finally {
    session.destroy();
  }
}

/** Percent-encoded on the wire; what is not stays as it is. Source: grpc/grpc doc/PROTOCOL-HTTP2.md. */
function decodeMessage(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

interface Exchange {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: Buffer;
}

function exchange(
  session: ClientHttp2Session,
  { service, userAgent }: HealthQuestion,
  signal: AbortSignal,
): Promise<Exchange> {
  return new Promise((resolve, reject) => {
    const fail = (): void => reject(signal.reason);
    if (signal.aborted) fail();
    signal.addEventListener("abort", fail, { once: true });
    session.on("error", reject).on("close", () => reject(new Error("the connection was closed")));
    const call = session.request({
      ":method": "POST",
      ":path": PATH,
      ...{ "content-type": "application/grpc", te: "trailers", "user-agent": userAgent },
    });
    let [headers, trailers]: IncomingHttpHeaders[] = [{}, {}];
    const pieces: Buffer[] = [];
    let bytes = 0;
    call.on("response", (found) => {
      headers = found;
    });
    call.on("trailers", (found) => {
      trailers = found;
    });
    call.on("data", (piece: Buffer) => {
      bytes += piece.length;
      if (bytes > MOST_BYTES) reject(new Error("the answer is too long"));
      else pieces.push(piece);
    });
    call.on("error", reject);
    call.on("end", () => resolve({ headers: headers ?? {}, trailers: trailers ?? {}, body: Buffer.concat(pieces) }));
    call.end(frame(encodeFields({ 1: service === "" ? undefined : service })));
  });
}

/** One message in the form of gRPC over HTTP/2: not compressed, its length, its bytes. */
function frame(message: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

function stateOf(body: Buffer): number {
  let state = 0;
  const nothing = (): boolean => false;
  readFields(body.subarray(5), nothing, (field, reader) => {
    if (field !== 1) return false;
    state = reader.int32();
    return true;
  });
  return state;
}
