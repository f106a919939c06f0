import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type Metadata, Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
  type DiscoveryRequest,
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from "../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts";

export interface FakeIstiodOptions {
  /** TLS with this certificate; plaintext without. `clientCa` demands a client certificate. */
  readonly tls?: { readonly certPem: string; readonly keyPem: string; readonly clientCa?: string };
  /** 0, the default, takes a free one. */
  readonly port?: number;
  /** Called for each stream before anything else. */
  readonly onStream?: (stream: FakeIstiodStream) => void;
}

/** One ADS stream as the control plane sees it. */
export interface FakeIstiodStream {
  readonly variant: "sotw" | "delta";
  readonly metadata: Metadata;
  readonly authority: string;
  /** What arrived, as bytes, in order. */
  readonly received: Buffer[];
  readonly requests: (DiscoveryRequest | DeltaDiscoveryRequest)[];
  readonly clientCertificate: string | undefined;
  readonly isClosed: boolean;
  send(response: MessageInitShape<typeof DiscoveryResponseSchema>): void;
  sendDelta(response: MessageInitShape<typeof DeltaDiscoveryResponseSchema>): void;
  /** Sends bytes as they are; false once the peer should be waited for. */
  sendRaw(bytes: Uint8Array): boolean;
  end(status?: { readonly code: number; readonly details: string }): void;
  /** Stops and restarts reading. */
  pause(): void;
  resume(): void;
}

export interface FakeIstiod extends AsyncDisposable {
  readonly port: number;
  readonly streams: readonly FakeIstiodStream[];
  /** Connections that are open now. */
  connectionCount(): number;
}

const ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService";

/** A control plane that records what it is asked and says what the test tells it to. */
export async function startFakeIstiod(options: FakeIstiodOptions = {}): Promise<FakeIstiod> {
  const streams: FakeIstiodStream[] = [];
  const server = new Server({ "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 });
  const take = (variant: "sotw" | "delta") => (call: Call) => {
    const stream = wrap(variant, call);
    streams.push(stream);
    options.onStream?.(stream);
  };
  server.addService(
    { sotw: method("StreamAggregatedResources"), delta: method("DeltaAggregatedResources") },
    { sotw: take("sotw"), delta: take("delta") },
  );
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync(`127.0.0.1:${options.port ?? 0}`, credentials(options.tls), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  return {
    port,
    streams,
    connectionCount: () => sessionCount(server),
    async [Symbol.asyncDispose]() {
      server.forceShutdown();
    },
  };
}

/** grpc-js keeps its sessions in a private map; there is no other way to see a leak from this side. */
function sessionCount(server: Server): number {
  return (server as unknown as { sessions: ReadonlyMap<unknown, unknown> }).sessions.size;
}

type Call = ServerDuplexStream<Buffer, Buffer>;

function wrap(variant: "sotw" | "delta", call: Call): FakeIstiodStream {
  const received: Buffer[] = [];
  let isClosed = false;
  call.on("data", (bytes: Buffer) => received.push(bytes));
  call.on("end", () => call.end());
  call.on("error", () => undefined);
  call.on("cancelled", () => {
    isClosed = true;
  });
  return {
    variant,
    metadata: call.metadata,
    authority: call.getHost(),
    received,
    clientCertificate: call.getAuthContext().sslPeerCertificate?.subjectaltname,
    get requests() {
      return received.map((bytes) =>
        variant === "sotw" ? fromBinary(DiscoveryRequestSchema, bytes) : fromBinary(DeltaDiscoveryRequestSchema, bytes),
      );
    },
    get isClosed() {
      return isClosed;
    },
    send: (init) =>
      void call.write(Buffer.from(toBinary(DiscoveryResponseSchema, create(DiscoveryResponseSchema, init)))),
    sendDelta: (init) =>
      void call.write(Buffer.from(toBinary(DeltaDiscoveryResponseSchema, create(DeltaDiscoveryResponseSchema, init)))),
    sendRaw: (bytes) => call.write(Buffer.from(bytes)),
    end: (status) => void (status === undefined ? call.end() : call.emit("error", status)),
    pause: () => void call.pause(),
    resume: () => void call.resume(),
  };
}

function credentials(tls: FakeIstiodOptions["tls"]): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  const pair = { cert_chain: Buffer.from(tls.certPem), private_key: Buffer.from(tls.keyPem) };
  const { clientCa } = tls;
  return ServerCredentials.createSsl(
    clientCa === undefined ? null : Buffer.from(clientCa),
    [pair],
    clientCa !== undefined,
  );
}

const same = (bytes: Buffer): Buffer => bytes;

function method(name: string) {
  return {
    path: `${ADS}/${name}`,
    requestStream: true,
    responseStream: true,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
}
