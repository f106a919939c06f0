import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceDefinition,
  status,
  type UntypedHandleCall,
} from "@grpc/grpc-js";
import {
  type DiscoveryRequest,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from "../../proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import type { SdsOptions } from "./options.ts";
import { createResponse } from "./response.ts";
import { SdsStream } from "./stream.ts";

/** Source: istio/istio pkg/istio-agent and security/pkg/nodeagent/sds/server.go. */
const MOST_STREAMS = 100_000;
const SERVICE = "/envoy.service.secret.v3.SecretDiscoveryService";

type Call = ServerDuplexStream<DiscoveryRequest, DiscoveryResponse>;

let version = 0; // of the process, as in Istio: two servers never give the same version

export function startServer(options: SdsOptions): AsyncDisposable {
  const server = new Server({
    "grpc.max_concurrent_streams": MOST_STREAMS,
    "grpc.max_receive_message_length": -1,
    "grpc.enable_channelz": 0,
  });
  const streams = new Set<SdsStream>();
  server.addService(SERVICE_DEFINITION, {
    streamSecrets: ((call: Call) => serveStream(call, options, streams)) as UntypedHandleCall,
    deltaSecrets: ((call: Call) => refuse(call, "DeltaSecrets")) as UntypedHandleCall,
    fetchSecrets: ((_call: unknown, answer: (error: object) => void) =>
      answer(unimplemented("FetchSecrets"))) as UntypedHandleCall,
  });
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  options.socket.handOver((connection) => injector.injectConnection(connection));
  return {
    async [Symbol.asyncDispose]() {
      for (const stream of streams) stream.close();
      injector.destroy();
      server.forceShutdown();
    },
  };
}

function serveStream(call: Call, options: SdsOptions, streams: Set<SdsStream>): void {
  const log = options.log.scope("sds");
  const stream = new SdsStream({
    secrets: options.secrets,
    respond: (items) => createResponse(items, ++version, options.keyProvider),
    send: (response) => void call.write(response), // bounded: one response per acknowledged request or change
    fail: (code, details) => call.emit("error", { code, details }),
    log,
    metrics: options.metrics,
  });
  streams.add(stream);
  const end = (): void => {
    stream.close();
    streams.delete(stream);
  };
  call.on("data", (request: DiscoveryRequest) => stream.receive(request));
  call.on("end", () => {
    end();
    call.end();
  });
  call.on("cancelled", end); // comes with the end of every call
  call.on("error", (error) => {
    end();
    if (!("code" in error)) options.metrics.count("pilot_total_xds_internal_errors");
  });
}

function refuse(call: Call, method: string): void {
  call.emit("error", unimplemented(method));
}

function unimplemented(method: string): { code: status; details: string } {
  return { code: status.UNIMPLEMENTED, details: `${method} not implemented` };
}

function method(name: string, isStream: boolean) {
  return {
    path: `${SERVICE}/${name}`,
    requestStream: isStream,
    responseStream: isStream,
    requestDeserialize: (bytes: Buffer): DiscoveryRequest => fromBinary(DiscoveryRequestSchema, bytes),
    requestSerialize: (request: DiscoveryRequest): Buffer => Buffer.from(toBinary(DiscoveryRequestSchema, request)),
    responseDeserialize: (bytes: Buffer): DiscoveryResponse => fromBinary(DiscoveryResponseSchema, bytes),
    responseSerialize: (response: DiscoveryResponse): Buffer =>
      Buffer.from(toBinary(DiscoveryResponseSchema, response)),
  };
}

const SERVICE_DEFINITION = {
  streamSecrets: method("StreamSecrets", true),
  deltaSecrets: method("DeltaSecrets", true),
  fetchSecrets: method("FetchSecrets", false),
} satisfies ServiceDefinition;
