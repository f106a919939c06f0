import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from "node:http2";
import type { Socket } from "node:net";
import { encodeFields, readFields } from "../proto/wire.ts";

const PATH = "/grpc.health.v1.Health/Check";
const SERVING = 1;
/** The names of `grpc.health.v1.HealthCheckResponse.ServingStatus`. */
const STATES = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const MOST_BYTES = 4_096;

/**
 * Asks a gRPC server for its health over a connection that is there. Rejects when it does not serve, with what it
 * answered. By hand, because grpc-js cannot say where a connection comes from. Source: the gRPC health checking protocol.
 */
export async function checkHealth(
  socket: Socket,
  words: { readonly service: string; readonly authority: string; readonly userAgent: string },
  signal: AbortSignal,
): Promise<void> {
  const session = connect(`http://${words.authority}`, { createConnection: () => socket });
  try {
    const { headers, trailers, body } = await exchange(session, words, signal);
    const status = String(trailers["grpc-status"] ?? headers["grpc-status"] ?? "");
    const text = String(trailers["grpc-message"] ?? headers["grpc-message"] ?? "");
    if (status === "12") throw new Error("the application does not implement the gRPC health protocol");
    if (status !== "0") throw new Error(`gRPC status ${status || "missing"}${text === "" ? "" : `: ${text}`}`);
    const state = stateOf(body);
    if (state !== SERVING) throw new Error(`the application's health is ${STATES[state] ?? state}`);
  } finally {
    session.destroy();
  }
}

interface Exchange {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: Buffer;
}

function exchange(
  session: ClientHttp2Session,
  { service, userAgent }: { readonly service: string; readonly userAgent: string },
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
