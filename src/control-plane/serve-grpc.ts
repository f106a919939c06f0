import * as grpc from "@grpc/grpc-js";
import { AgentError, describeError, type Logger } from "../base/index.ts";
import { AggregatedDiscoveryService } from "../proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { IstioCertificateService } from "../proto/gen/istio/v1/auth/ca_pb.ts";
import { grpcServiceDefinition } from "../proto/grpc-service.ts";
import type { Authority } from "./authority.ts";
import { createCertificateHandler } from "./certificate-service.ts";
import type { DiscoveryService } from "./discovery-service.ts";
import type { TokenIssuer } from "./tokens.ts";

export interface ServeOptions {
  readonly host: string;
  readonly port?: number;
  readonly trustDomain: string;
  readonly authority: Authority;
  readonly tokens: TokenIssuer;
  readonly discovery: DiscoveryService;
  readonly defaultTtlSeconds: number;
  readonly log: Logger;
}

/** Serves the CA and ADS over TLS. Rejects with ADDRESS_IN_USE. */
export async function serveGrpc(options: ServeOptions): Promise<{ address: string; port: number; close(): void }> {
  const { authority } = options;
  // Agents ping every 30 s; a stricter server would close their connections. Source: istio/istio pilot/pkg/grpc.
  const server = new grpc.Server({ "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 });
  const createCertificate = createCertificateHandler({ ...options, authority: () => authority });
  server.addService(grpcServiceDefinition(IstioCertificateService), { createCertificate });
  server.addService(grpcServiceDefinition(AggregatedDiscoveryService), { ...options.discovery.handlers });
  const credentials = grpc.ServerCredentials.createSsl(
    Buffer.from(authority.rootPem),
    [{ cert_chain: Buffer.from(authority.server.certificate), private_key: Buffer.from(authority.server.key) }],
    false,
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${options.host}:${options.port ?? 0}`, credentials, (error, bound) => {
      if (error === null) resolve(bound);
      else reject(addressInUse(options.host, options.port ?? 0, error));
    });
  });
  return { address: `${options.host}:${port}`, port, close: () => server.forceShutdown() };
}

function addressInUse(host: string, port: number, cause: Error): AgentError {
  return new AgentError("ADDRESS_IN_USE", `Cannot listen on "${host}:${port}": ${describeError(cause)}`, { cause });
}
