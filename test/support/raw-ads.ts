import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { type AddressInfo, connect as connectTcp } from "node:net";
import { expect, vi } from "vitest";
import type { Variant } from "../../src/xds/variant.ts";
import { framed } from "../grpc-stream/framed.ts";

/** What arrived: long messages are told by their hash. */
export interface Arrived {
  readonly length: number;
  readonly sha256: string;
  /** Up to 1 MiB. */
  readonly bytes: Buffer | undefined;
}

export function arrivedAs(message: Uint8Array): Omit<Arrived, "bytes"> {
  return { length: message.length, sha256: createHash("sha256").update(message).digest("hex") };
}

const KEPT_BYTES = 2 ** 20;

/** Splits gRPC's messages by itself, so that no code of ours is checked by its own. */
function collect(stream: ServerHttp2Stream | ClientHttp2Stream): Arrived[] {
  const arrived: Arrived[] = [];
  let head = Buffer.alloc(0);
  let open:
    | { readonly length: number; left: number; readonly parts: Buffer[]; readonly hash: ReturnType<typeof createHash> }
    | undefined;
  stream.on("data", (chunk: Buffer) => {
    let rest = chunk;
    for (;;) {
      if (open === undefined) {
        const wanted = 5 - head.length;
        head = Buffer.concat([head, rest.subarray(0, wanted)]);
        rest = rest.subarray(wanted);
        if (head.length < 5) return;
        const length = head.readUInt32BE(1);
        open = { length, left: length, parts: [], hash: createHash("sha256") };
        head = Buffer.alloc(0);
      }
      const part = rest.subarray(0, open.left);
      rest = rest.subarray(part.length);
      open.left -= part.length;
      open.hash.update(part);
      if (open.length <= KEPT_BYTES) open.parts.push(part);
      if (open.left > 0) return;
      const { length, parts, hash } = open;
      const bytes = length <= KEPT_BYTES ? Buffer.concat(parts) : undefined;
      arrived.push({ length, sha256: hash.digest("hex"), bytes });
      open = undefined;
    }
  });
  return arrived;
}

/** A stream of the agent's, as a control plane sees it. */
export interface SourceStream {
  readonly stream: ServerHttp2Stream;
  readonly requests: readonly Arrived[];
  readonly isClosed: boolean;
  /** Resolves when the message has left. */
  send(message: Uint8Array): Promise<void>;
  /** Bytes as they are. */
  write(bytes: Uint8Array): Promise<void>;
  end(code: number, message?: string): void;
  /** Breaks the connection. */
  cut(): void;
}

export interface Source extends AsyncDisposable {
  readonly port: number;
  /** Of ADS. */
  readonly streams: readonly SourceStream[];
  /** The ADS stream with that number, from 0, once it is there. */
  stream(number: number): Promise<SourceStream>;
  connectionCount(): number;
}

/** A control plane on bare HTTP/2, without TLS. Every other method is UNIMPLEMENTED. */
export async function startSource(): Promise<Source> {
  const streams: SourceStream[] = [];
  const sessions = new Set<ServerHttp2Session>();
  const server = createServer({ maxSessionMemory: 10_000 });
  server.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => undefined).on("close", () => sessions.delete(session));
  });
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on("error", () => undefined);
    const path = headers[":path"] ?? "";
    if (!path.includes("AggregatedDiscoveryService")) {
      stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-status": "12" }, { endStream: true });
      return;
    }
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    streams.push(sourceStream(stream));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    streams,
    async stream(number) {
      await vi.waitFor(() => expect(streams.length).toBeGreaterThan(number), { timeout: 30_000, interval: 5 });
      return streams[number] as SourceStream;
    },
    connectionCount: () => sessions.size,
    async [Symbol.asyncDispose]() {
      for (const session of sessions) session.destroy();
      server.close();
    },
  };
}

function sourceStream(stream: ServerHttp2Stream): SourceStream {
  const requests = collect(stream);
  let isClosed = false;
  stream.once("close", () => {
    isClosed = true;
  });
  const write = (bytes: Uint8Array): Promise<void> => new Promise((resolve) => stream.write(bytes, () => resolve()));
  return {
    stream,
    requests,
    get isClosed() {
      return isClosed;
    },
    send: (message) => write(framed(message)),
    write,
    end(code, message = "") {
      stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": String(code), "grpc-message": message }));
      stream.end();
    },
    cut: () => stream.session?.destroy(),
  };
}

/** A stream of Envoy's to the agent. */
export interface EnvoyStream {
  readonly stream: ClientHttp2Stream;
  readonly responses: readonly Arrived[];
  send(message: Uint8Array): Promise<void>;
  /** The final status, or that the stream was reset. */
  readonly ended: Promise<{ readonly code: number; readonly details: string }>;
}

export interface EnvoyConnection extends Disposable {
  readonly session: ClientHttp2Session;
  open(variant: Variant): EnvoyStream;
}

/** An Envoy's connection to the agent's socket, on bare HTTP/2. */
export function connectEnvoy(
  socketPath: string,
  settings: { readonly initialWindowSize?: number } = {},
): EnvoyConnection {
  const session = connect("http://localhost", {
    createConnection: () => connectTcp(socketPath),
    settings,
    maxSessionMemory: 10_000,
  });
  session.on("error", () => undefined);
  return {
    session,
    open(variant) {
      const stream = session.request({
        ":method": "POST",
        ":path": variant.method,
        "content-type": "application/grpc",
        te: "trailers",
      });
      let status: { code: number; details: string } | undefined;
      const read = (headers: IncomingHttpHeaders): void => {
        if (headers["grpc-status"] === undefined) return;
        status = { code: Number(headers["grpc-status"]), details: String(headers["grpc-message"] ?? "") };
      };
      stream
        .on("response", read)
        .on("trailers", read)
        .on("error", () => undefined);
      return {
        stream,
        responses: collect(stream),
        send: (message) => new Promise((resolve) => stream.write(framed(message), () => resolve())),
        ended: new Promise((resolve) => {
          stream.once("close", () => resolve(status ?? { code: -1, details: `reset with ${stream.rstCode}` }));
        }),
      };
    },
    [Symbol.dispose]: () => session.destroy(),
  };
}
