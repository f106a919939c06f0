import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, type StatusObject } from "@grpc/grpc-js";
import { type Secret, SecretSchema } from "../../src/proto/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts";
import {
  DiscoveryRequestSchema,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from "../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts";

/** One SDS stream as Envoy opens it. */
export interface SdsClientStream {
  readonly responses: DiscoveryResponse[];
  /** The stream's end; never rejects. */
  readonly ended: Promise<StatusObject>;
  send(request: MessageInitShape<typeof DiscoveryRequestSchema>): void;
  /** Asks for names as a first request. */
  ask(...names: string[]): void;
  /** Acknowledges the last response, now wanting `names`. */
  acknowledge(...names: string[]): void;
  /** Response number `index` (from 0), as soon as it is there. Rejects when the stream ends before. */
  response(index: number): Promise<DiscoveryResponse>;
  /** Ends politely. More than about a thousand `cancel`s in a row make Node's server give up the connection. */
  end(): void;
  cancel(): void;
}

export interface SdsClient extends AsyncDisposable {
  open(): SdsClientStream;
  call(method: string): Promise<StatusObject>;
}

const SERVICE = "/envoy.service.secret.v3.SecretDiscoveryService";

/** `target` is the path of a UNIX socket. */
export function connectSds(path: string): SdsClient {
  const client = new Client(`unix:${path}`, credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 });
  return {
    open: () => openStream(client),
    call: (method) =>
      new Promise((resolve) => {
        const same = (bytes: Buffer): Buffer => bytes;
        const running = client.makeBidiStreamRequest(`${SERVICE}/${method}`, same, same);
        running.on("error", () => undefined); // the status tells it all
        running.on("status", resolve);
        running.write(Buffer.alloc(0));
        running.end();
        running.resume();
      }),
    [Symbol.asyncDispose]: async () => client.close(),
  };
}

/** The secrets of a response. */
export function secretsOf(response: DiscoveryResponse): Secret[] {
  return response.resources.map(({ value }) => fromBinary(SecretSchema, value));
}

function openStream(client: Client): SdsClientStream {
  const call = client.makeBidiStreamRequest(
    `${SERVICE}/StreamSecrets`,
    (request: Uint8Array) => Buffer.from(request),
    (bytes) => fromBinary(DiscoveryResponseSchema, bytes),
  );
  const responses: DiscoveryResponse[] = [];
  const waiting = new Set<() => void>();
  let status: StatusObject | undefined;
  const wake = (): void => waiting.forEach((check) => void check());
  const ended = new Promise<StatusObject>((resolve) =>
    call.on("status", (end) => {
      status = end;
      resolve(end);
      wake();
    }),
  );
  call.on("error", () => undefined); // the status tells it all
  call.on("data", (response: DiscoveryResponse) => {
    responses.push(response);
    wake();
  });
  const send = (request: MessageInitShape<typeof DiscoveryRequestSchema>): void =>
    void call.write(toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, request)));
  return {
    responses,
    ended,
    send,
    ask: (...resourceNames) => send({ node: { id: "sidecar~1.1.1.1~a.b~c" }, resourceNames }),
    acknowledge: (...resourceNames) => {
      const last = responses.at(-1);
      send({ resourceNames, responseNonce: last?.nonce ?? "", versionInfo: last?.versionInfo ?? "" });
    },
    response: (index) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          const found = responses[index];
          if (found === undefined && status === undefined) return;
          waiting.delete(check);
          if (found !== undefined) resolve(found);
          else reject(new Error(`the stream ended with ${status?.code}: ${status?.details}`));
        };
        waiting.add(check);
        check();
      }),
    end: () => call.end(),
    cancel: () => call.cancel(),
  };
}
