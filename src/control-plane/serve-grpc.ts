import type { DescService } from "@bufbuild/protobuf";
import type { BoundSocket } from "../base/index.ts";
import { type GrpcStreamServerOptions, serveGrpcStreams } from "../grpc-stream/index.ts";
import { AggregatedDiscoveryService } from "../proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { IstioCertificateService } from "../proto/gen/istio/v1/auth/ca_pb.ts";
import type { DiscoveryService } from "./ads/discovery-service.ts";
import type { CertificateHandler } from "./ca/certificate-service.ts";
import type { ServerTls } from "./ca/signing.ts";
import { type Methods, streaming, unary } from "./calls/serve-calls.ts";
import { speakTls } from "./calls/speak-tls.ts";
import { reflectionMethods } from "./reflection/reflection-service.ts";

export interface ServeOptions {
  readonly socket: BoundSocket;
  readonly tls: ServerTls;
  readonly createCertificate: CertificateHandler;
  readonly discovery: DiscoveryService["handlers"];
  readonly admit: NonNullable<GrpcStreamServerOptions["admit"]>;
}

/** Source: istio/istio pilot/pkg/features (ISTIO_GPRC_MAXSTREAMS). */
const MOST_STREAMS = 100_000;

export interface GrpcServer extends Disposable {
  /** Takes effect for connections to come. */
  useTls(tls: ServerTls): void;
}

/** Serves the CA and ADS over TLS on a bound socket. The server asks for a client certificate and does not require one. */
export function serveGrpc({ socket, tls, createCertificate, discovery, admit }: ServeOptions): GrpcServer {
  let current = tls;
  const server = serveGrpcStreams({
    ...{ socket, admit, maxStreams: MOST_STREAMS },
    secure: speakTls(() => current),
    methods: {
      ...unary(IstioCertificateService.method.createCertificate, createCertificate),
      ...discoveryMethods(discovery, [IstioCertificateService, AggregatedDiscoveryService]),
    },
  });
  return {
    useTls(next) {
      current = next;
    },
    [Symbol.dispose]: () => server[Symbol.dispose](),
  };
}

/** Serves ADS without TLS, and nobody's certificates, as istiod does on port 15010. */
export function servePlaintext(socket: BoundSocket, discovery: DiscoveryService["handlers"]): Disposable {
  const methods = discoveryMethods(discovery, [AggregatedDiscoveryService]);
  return serveGrpcStreams({ socket, methods, maxStreams: MOST_STREAMS });
}

/** ADS, and the reflection that tells of `services`. */
function discoveryMethods(discovery: DiscoveryService["handlers"], services: readonly DescService[]): Methods {
  const { streamAggregatedResources, deltaAggregatedResources } = AggregatedDiscoveryService.method;
  return {
    ...streaming(streamAggregatedResources, discovery.streamAggregatedResources),
    ...streaming(deltaAggregatedResources, discovery.deltaAggregatedResources),
    ...reflectionMethods(services),
  };
}
