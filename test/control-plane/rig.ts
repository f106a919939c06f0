import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as grpc from "@grpc/grpc-js";
import { silentLogger } from "../../src/base/index.ts";
import { type ControlPlane, startControlPlane } from "../../src/control-plane/index.ts";
import {
  AggregatedDiscoveryService,
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  type DiscoveryRequest,
  type DiscoveryResponse,
} from "../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { IstioCertificateService } from "../../src/proto/gen/istio/v1/auth/ca_pb.ts";
import { grpcServiceDefinition } from "../../src/proto/grpc-service.ts";

/** A control plane on a folder of its own, and a TLS client of it. */
export interface Rig extends AsyncDisposable {
  readonly controlPlane: ControlPlane;
  readonly folder: string;
  write(file: string, text: string): void;
  sign(csr: string, token: string | undefined, ttlSeconds?: number): Promise<readonly string[]>;
  delta(token: string | undefined): Stream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;
  sotw(token: string | undefined): Stream<DiscoveryRequest, DiscoveryResponse>;
}

export interface Stream<Request, Response> {
  send(request: Partial<Request>): void;
  /** The next response; rejects when the stream ends with an error. */
  next(): Promise<Response>;
  readonly received: readonly Response[];
  readonly failed: Promise<grpc.StatusObject>;
  cancel(): void;
}

export async function startRig(files: Readonly<Record<string, string>>): Promise<Rig> {
  const folder = mkdtempSync(join(tmpdir(), "pb-plane-"));
  const write = (file: string, text: string): void => writeFileSync(join(folder, file), text);
  for (const [file, text] of Object.entries(files)) write(file, text);
  const options = { resources: folder, values: { PORT: "1234" }, log: silentLogger };
  const controlPlane = await startControlPlane(options, new AbortController().signal);
  const credentials = grpc.credentials.createSsl(Buffer.from(controlPlane.rootPem));
  const service = {
    ...grpcServiceDefinition(AggregatedDiscoveryService),
    ...grpcServiceDefinition(IstioCertificateService),
  };
  const Client = grpc.makeGenericClientConstructor(service, "rig");
  const client = new Client(`localhost:${controlPlane.port}`, credentials);
  const call = (method: string, token: string | undefined) => {
    const metadata = new grpc.Metadata();
    if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
    return (client as unknown as Record<string, (m: grpc.Metadata) => grpc.ClientDuplexStream<object, object>>)[
      method
    ]?.bind(client)(metadata) as grpc.ClientDuplexStream<object, object>;
  };
  return {
    controlPlane,
    folder,
    write,
    sign(csr, token, ttlSeconds = 60) {
      const metadata = new grpc.Metadata();
      if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
      return new Promise((resolve, reject) => {
        const request = { csr, validityDuration: BigInt(ttlSeconds) };
        const done = (error: Error | null, response?: { certChain: string[] }): void =>
          error === null ? resolve(response?.certChain ?? []) : reject(error);
        const sign = (client as unknown as Record<string, (...words: unknown[]) => void>).createCertificate;
        sign?.call(client, request, metadata, done);
      });
    },
    delta: (token) => streamOf(call("deltaAggregatedResources", token)),
    sotw: (token) => streamOf(call("streamAggregatedResources", token)),
    async [Symbol.asyncDispose]() {
      client.close();
      await controlPlane[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A request for a certificate, made by openssl. */
export function makeCsr(...key: readonly string[]): string {
  const args = ["req", "-new", "-newkey", ...key, "-nodes", "-keyout", "/dev/null", "-subj", "/O=x"];
  return execFileSync("openssl", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
}

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
  };
}
