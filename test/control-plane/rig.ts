import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as grpc from "@grpc/grpc-js";
import { silentLogger } from "../../src/base/index.ts";
import { type ControlPlane, type ControlPlaneOptions, startControlPlane } from "../../src/control-plane/index.ts";
import {
  AggregatedDiscoveryService,
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  type DiscoveryRequest,
  type DiscoveryResponse,
} from "../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { IstioCertificateService } from "../../src/proto/gen/istio/v1/auth/ca_pb.ts";
import { grpcServiceDefinition } from "../support/grpc-service.ts";

/** A control plane on a folder of its own, and a TLS client of it. */
export interface Rig extends AsyncDisposable {
  readonly controlPlane: ControlPlane;
  readonly folder: string;
  write(file: string, text: string): void;
  sign(csr: string, token: string | undefined, ttlSeconds?: number, metadata?: object): Promise<readonly string[]>;
  delta(token: string | undefined, client?: Client): Stream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;
  sotw(token: string | undefined): Stream<DiscoveryRequest, DiscoveryResponse>;
}

type Client = InstanceType<ReturnType<typeof grpc.makeGenericClientConstructor>>;

/** A client of its own; close it. */
export function connect(port: number, rootPem: string, own?: { certificate: string; key: string }): Client {
  const pair = own === undefined ? [] : [Buffer.from(own.key), Buffer.from(own.certificate)];
  const credentials = grpc.credentials.createSsl(Buffer.from(rootPem), ...pair);
  return new (grpc.makeGenericClientConstructor(SERVICES, "rig"))(`localhost:${port}`, credentials);
}

const SERVICES = {
  ...grpcServiceDefinition(AggregatedDiscoveryService),
  ...grpcServiceDefinition(IstioCertificateService),
};

export interface Stream<Request, Response> {
  send(request: Partial<Request>): void;
  /** The next response; rejects when the stream ends with an error. */
  next(): Promise<Response>;
  readonly received: readonly Response[];
  readonly failed: Promise<grpc.StatusObject>;
  cancel(): void;
  /** Half-closes. */
  end(): void;
}

export async function startRig(
  files: Readonly<Record<string, string>>,
  more: Partial<ControlPlaneOptions> = {},
): Promise<Rig> {
  const folder = mkdtempSync(join(tmpdir(), "pb-plane-"));
  const write = (file: string, text: string): void => writeFileSync(join(folder, file), text);
  for (const [file, text] of Object.entries(files)) write(file, text);
  const options = { resources: folder, values: { PORT: "1234" }, log: silentLogger, ...more };
  const controlPlane = await startControlPlane(options, new AbortController().signal);
  const client = connect(controlPlane.port, controlPlane.rootPem);
  return {
    controlPlane,
    folder,
    write,
    sign: (csr, token, ttlSeconds, metadata) => signBy(client, csr, token, { ttlSeconds, metadata }),
    delta: (token, from = client) => streamOf(methodOf(from, "deltaAggregatedResources")(bearer(token))),
    sotw: (token) => streamOf(methodOf(client, "streamAggregatedResources")(bearer(token))),
    async [Symbol.asyncDispose]() {
      client.close();
      await controlPlane[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The chain of a certificate, or the status of a refusal. */
export function signBy(
  client: Client,
  csr: string,
  token: string | undefined,
  { ttlSeconds = 60, metadata }: { ttlSeconds?: number | undefined; metadata?: object | undefined } = {},
): Promise<readonly string[]> {
  return new Promise((resolve, reject) => {
    const request = { csr, validityDuration: BigInt(ttlSeconds), metadata };
    const done = (error: Error | null, response?: { certChain: string[] }): void =>
      error === null ? resolve(response?.certChain ?? []) : reject(error);
    methodOf(client, "createCertificate")(request, bearer(token), done);
  });
}

/** A delta stream of that client, by default without a token. */
export function streamTo(client: Client, token?: string): Stream<DeltaDiscoveryRequest, DeltaDiscoveryResponse> {
  return streamOf(methodOf(client, "deltaAggregatedResources")(bearer(token)));
}

type Method = (...words: unknown[]) => grpc.ClientDuplexStream<object, object>;

function methodOf(client: Client, name: string): Method {
  const method = (client as unknown as Record<string, Method>)[name];
  if (method === undefined) throw new Error(`no method ${name}`);
  return method.bind(client);
}

function bearer(token: string | undefined): grpc.Metadata {
  const metadata = new grpc.Metadata();
  if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
  return metadata;
}

/** A request for a certificate, made by openssl. */
export function makeCsr(key: readonly string[] = EC_KEY, { subject = "/O=x", keyFile = "/dev/null" } = {}): string {
  const args = ["req", "-new", "-newkey", ...key, "-nodes", "-keyout", keyFile, "-subj", subject];
  return openssl(...args);
}

export function openssl(...args: readonly string[]): string {
  return execFileSync("openssl", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
}

export const EC_KEY = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] as const;

export function node(labels: Readonly<Record<string, string>> = {}, namespace = "default") {
  const metadata = { NAMESPACE: namespace, SERVICE_ACCOUNT: "web", LABELS: { ...labels } };
  return { id: "sidecar~1.1.1.1~a.b~c", metadata } as unknown as NonNullable<DiscoveryRequest["node"]>;
}

function streamOf<Request, Response>(call: grpc.ClientDuplexStream<object, object>): Stream<Request, Response> {
  const received: Response[] = [];
  let taken = 0;
  let wake = (): void => undefined;
  call.on("data", (response: Response) => {
    received.push(response);
    wake();
  });
  call.on("error", () => wake());
  const failed = new Promise<grpc.StatusObject>((resolve) => call.once("status", resolve));
  return {
    received,
    failed,
    send: (request) => void call.write(request as object),
    async next() {
      while (received[taken] === undefined) {
        await Promise.race([
          new Promise<void>((resolve) => {
            wake = resolve;
          }),
          failed.then(({ code, details }) => Promise.reject(new Error(`stream ended: ${code} ${details}`))),
        ]);
      }
      return received[taken++] as Response;
    },
    cancel: () => call.cancel(),
    end: () => void call.end(),
  };
}
