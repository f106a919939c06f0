import { create, fromBinary, type JsonObject, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Client, type ClientDuplexStream, credentials, type StatusObject } from "@grpc/grpc-js";
import {
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from "../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { holdOneMessage } from "./hold-one-message.ts";

export type AdsVariant = "sotw" | "delta";

/** What Envoy does on its ADS stream, driven by a test. */
export interface AdsStream {
  readonly received: Buffer[];
  readonly responses: (DiscoveryResponse | DeltaDiscoveryResponse)[];
  /** The final status; never rejects. */
  readonly ended: Promise<StatusObject>;
  request(request: {
    typeUrl: string;
    nonce?: string;
    versionInfo?: string;
    rejection?: string;
    node?: string;
    /** Resources to be subscribed to. */
    names?: string[];
    /** As `envoy` or `gRPC Go` name themselves. */
    userAgent?: string;
    /** Of the node. */
    metadata?: JsonObject;
  }): void;
  sendRaw(bytes: Uint8Array): void;
  /** Half-closes, as Envoy does when it is done. */
  end(): void;
  cancel(): void;
  pause(): void;
  resume(): void;
}

export interface AdsClient extends Disposable {
  /** Calls any method without a message; resolves with the status. */
  call(path: string): Promise<StatusObject>;
  open(variant: AdsVariant): AdsStream;
}

const METHODS = { sotw: "StreamAggregatedResources", delta: "DeltaAggregatedResources" } as const;

/** A connection to the relay's socket, like that of Envoy's `xds-grpc` cluster. */
export function connectAds(socketPath: string): AdsClient {
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure(), {
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
    "grpc.use_local_subchannel_pool": 1,
    "grpc.enable_retries": 0,
  });
  return {
    open(variant) {
      const path = `/envoy.service.discovery.v3.AggregatedDiscoveryService/${METHODS[variant]}`;
      return wrap(variant, client.makeBidiStreamRequest(path, same, same));
    },
    call: (path) => wrap("sotw", client.makeBidiStreamRequest(path, same, same)).ended,
    [Symbol.dispose]: () => client.close(),
  };
}

const same = (bytes: Buffer): Buffer => bytes;

function wrap(variant: AdsVariant, call: ClientDuplexStream<Buffer, Buffer>): AdsStream {
  const received: Buffer[] = [];
  holdOneMessage(call); // Envoy's own flow control counts bytes; sixteen messages of slack would hide a lack of ours
  call.on("data", (bytes: Buffer) => received.push(bytes));
  call.on("error", () => undefined);
  return {
    received,
    ended: new Promise((resolve) => call.once("status", resolve)),
    get responses() {
      return received.map((bytes) =>
        variant === "sotw"
          ? fromBinary(DiscoveryResponseSchema, bytes)
          : fromBinary(DeltaDiscoveryResponseSchema, bytes),
      );
    },
    request: (request) => void call.write(Buffer.from(encode(variant, request))),
    sendRaw: (bytes) => void call.write(Buffer.from(bytes)),
    end: () => void call.end(),
    cancel: () => call.cancel(),
    pause: () => void call.pause(),
    resume: () => void call.resume(),
  };
}

function hasNode({ node, userAgent, metadata }: Parameters<AdsStream["request"]>[0]): boolean {
  return node !== undefined || userAgent !== undefined || metadata !== undefined;
}

function encode(variant: AdsVariant, request: Parameters<AdsStream["request"]>[0]): Uint8Array {
  const common = {
    typeUrl: request.typeUrl,
    responseNonce: request.nonce ?? "",
    ...(hasNode(request) && {
      node: { id: request.node ?? "", userAgentName: request.userAgent ?? "", metadata: request.metadata ?? {} },
    }),
    ...(request.rejection !== undefined && { errorDetail: { code: 13, message: request.rejection } }),
  };
  const names = request.names ?? [];
  if (variant === "delta") {
    const init = { ...common, resourceNamesSubscribe: names };
    return toBinary(DeltaDiscoveryRequestSchema, create(DeltaDiscoveryRequestSchema, init));
  }
  const versionInfo = request.versionInfo ?? "";
  const init: MessageInitShape<typeof DiscoveryRequestSchema> = { ...common, versionInfo, resourceNames: names };
  return toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, init));
}
