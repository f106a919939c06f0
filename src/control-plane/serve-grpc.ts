import type { SecureContextOptions } from "node:tls";
import type { DescService } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import type { BoundSocket } from "../base/index.ts";
import { type Caller, serveGrpcConnections } from "../grpc/index.ts";
import { AggregatedDiscoveryService } from "../proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { IstioCertificateService } from "../proto/gen/istio/v1/auth/ca_pb.ts";
import { grpcServiceDefinition } from "../proto/grpc-service.ts";
import type { DiscoveryService } from "./ads/discovery-service.ts";
import type { createCertificateHandler } from "./ca/certificate-service.ts";
import type { ServerTls } from "./ca/signing.ts";
import { createReflection, REFLECTION_SERVICES } from "./reflection/reflection-service.ts";

export interface ServeOptions {
  readonly socket: BoundSocket;
  readonly tls: ServerTls;
  readonly createCertificate: ReturnType<typeof createCertificateHandler>;
  readonly discovery: DiscoveryService["handlers"];
  /** Sees each call before its message is read, and says whose caller is known. */
  readonly interceptor: (onKnown: (call: Caller) => void) => grpc.ServerInterceptor;
}

/** Source: istio/istio pilot/pkg/features (ISTIO_GPRC_MAXRECVMSGSIZE, ISTIO_GPRC_MAXSTREAMS). */
const MOST_REQUEST_BYTES = 4 * 2 ** 20;
const MOST_STREAMS = 100_000;

const LIMITS = {
  "grpc.max_receive_message_length": MOST_REQUEST_BYTES,
  "grpc.max_send_message_length": -1,
  "grpc.max_concurrent_streams": MOST_STREAMS,
};

export interface GrpcServer {
  /** Takes effect for connections to come. */
  useTls(tls: ServerTls): void;
  close(): void;
}

/** Serves the CA and ADS over TLS on a bound socket. The server asks for a client certificate and does not require one. */
export function serveGrpc({ socket, tls, createCertificate, discovery, interceptor }: ServeOptions): GrpcServer {
  const server = new grpc.Server({ ...LIMITS, interceptors: [interceptor((call) => connections.noteCall(call))] });
  server.addService(grpcServiceDefinition(IstioCertificateService), { createCertificate });
  addDiscovery(server, discovery, [IstioCertificateService, AggregatedDiscoveryService]);
  const credentials = new ReplaceableCredentials(tls);
  const connections = serveGrpcConnections(server, credentials, socket);
  return {
    useTls: (next) => credentials.replace(next),
    close() {
      connections.destroy();
      server.forceShutdown();
    },
  };
}

/** Serves ADS without TLS, and nobody's certificates, as istiod does on port 15010. */
export function servePlaintext(socket: BoundSocket, discovery: DiscoveryService["handlers"]): Disposable {
  const noting: grpc.ServerInterceptor = (_method, call) =>
    new grpc.ServerInterceptingCall(call, {
      start(next) {
        connections.noteCall(call);
        next();
      },
    });
  const server = new grpc.Server({ ...LIMITS, interceptors: [noting] });
  addDiscovery(server, discovery, [AggregatedDiscoveryService]);
  const connections = serveGrpcConnections(server, grpc.ServerCredentials.createInsecure(), socket);
  return {
    [Symbol.dispose]() {
      connections.destroy();
      server.forceShutdown();
    },
  };
}

/** ADS, and the reflection that tells of `services`. */
function addDiscovery(
  server: grpc.Server,
  discovery: DiscoveryService["handlers"],
  services: readonly DescService[],
): void {
  server.addService(grpcServiceDefinition(AggregatedDiscoveryService), { ...discovery });
  const reflection = createReflection(services);
  for (const service of REFLECTION_SERVICES) server.addService(grpcServiceDefinition(service), { ...reflection });
}

/** The library's own ask for no client certificate or insist on one, and they keep what they were made with. */
class ReplaceableCredentials extends grpc.ServerCredentials {
  constructor(tls: ServerTls) {
    super({ requestCert: true, rejectUnauthorized: false, minVersion: "TLSv1.2" }, contextOf(tls));
  }

  replace(tls: ServerTls): void {
    this.updateSecureContextOptions(contextOf(tls));
  }

  override _equals(other: grpc.ServerCredentials): boolean {
    return this === other;
  }
}

function contextOf({ chain, key, roots }: ServerTls): SecureContextOptions {
  return { cert: [Buffer.from(chain)], key: [key.reveal()], ca: Buffer.from(roots) };
}
