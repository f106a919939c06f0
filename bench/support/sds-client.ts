import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Client, credentials } from "@grpc/grpc-js";
import {
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from "../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { METHOD } from "./sds-servers.ts";

/** A stream that asked for the workload's certificate. */
export interface BenchStream {
  /** Resolves with response number `index`, from 0, still encoded. */
  response(index: number): Promise<Buffer>;
  acknowledge(response: Buffer): void;
  /** Ends the stream and waits for its status. */
  end(): Promise<void>;
}

export interface BenchClient extends Disposable {
  open(): BenchStream;
}

/** Opens streams as Envoy does, but does as little as it can itself: its work counts in every figure. */
export function connectClient(path: string): BenchClient {
  const client = new Client(`unix:${path}`, credentials.createInsecure());
  return { open: () => openStream(client), [Symbol.dispose]: () => client.close() };
}

const same = (bytes: Buffer): Buffer => bytes;

function openStream(client: Client): BenchStream {
  const call = client.makeBidiStreamRequest(METHOD, same, same);
  const responses: Buffer[] = [];
  let wake = (): void => undefined;
  call.on("error", () => undefined); // the status tells it all
  call.on("data", (bytes: Buffer) => {
    responses.push(bytes);
    wake();
  });
  const ended = new Promise<void>((resolve) => call.on("status", () => resolve()));
  call.write(FIRST_REQUEST);
  return {
    response: (index) =>
      new Promise((resolve) => {
        wake = () => responses[index] !== undefined && resolve(responses[index]);
        wake();
      }),
    acknowledge(response) {
      const { nonce: responseNonce, versionInfo } = fromBinary(DiscoveryResponseSchema, response);
      call.write(encode({ resourceNames: ["default"], responseNonce, versionInfo }));
    },
    end() {
      call.end();
      return ended;
    },
  };
}

function encode(request: Parameters<typeof create<typeof DiscoveryRequestSchema>>[1]): Buffer {
  return Buffer.from(toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, request ?? {})));
}

/** With a node of about the size that Istio's injector gives a sidecar. */
const FIRST_REQUEST = encode({
  node: {
    id: "sidecar~10.0.0.1~reviews-v1-5b5bd4b9d6-2kq7z.default~default.svc.cluster.local",
    cluster: "reviews.default",
    metadata: {
      LABELS: Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`app.kubernetes.io/label-${i}`, `value-${i}`])),
      PROXY_CONFIG: { discoveryAddress: "istiod.istio-system.svc:15012", concurrency: 2, tracing: { sampling: 1 } },
      ...Object.fromEntries(Array.from({ length: 24 }, (_, i) => [`ISTIO_KEY_${i}`, `a value of some length ${i}`])),
    },
  },
  typeUrl: "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
  resourceNames: ["default"],
});
