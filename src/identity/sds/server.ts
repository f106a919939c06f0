import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceDefinition,
  type UntypedHandleCall,
} from "@grpc/grpc-js";
import { Code, serveGrpcConnections } from "../../grpc/index.ts";
import { SDS_INTERNAL_ERRORS, SDS_SEND_TIME } from "./metrics.ts";
import type { SdsOptions } from "./options.ts";
import { readRequest, type SecretRequest } from "./request.ts";
import { createResponder } from "./response.ts";
import { SdsStream, type StreamParts } from "./stream.ts";

/** Source: istio/istio pkg/istio-agent and security/pkg/nodeagent/sds/server.go. */
const MOST_STREAMS = 100_000;
/** A request names a secret or two. */
const MOST_REQUEST_BYTES = 4 * 2 ** 20;
/** A peer that reads nothing gets nothing more. */
const MOST_UNREAD = 100;
const SERVICE = "/envoy.service.secret.v3.SecretDiscoveryService";

type Call = ServerDuplexStream<SecretRequest, Buffer>;

export function startServer(options: SdsOptions): AsyncDisposable {
  const server = new Server({
    "grpc.max_concurrent_streams": MOST_STREAMS,
    "grpc.max_receive_message_length": MOST_REQUEST_BYTES,
    "grpc.enable_channelz": 0,
  });
  const connections = serveGrpcConnections(server, ServerCredentials.createInsecure(), options.socket);
  const streams = new Set<SdsStream>();
  const parts = { ...options, log: options.log.scope("sds"), respond: createResponder(options.keyProvider) };
  server.addService(SERVICE_DEFINITION, {
    streamSecrets: ((call: Call) => {
      connections.noteCall(call);
      serveStream(call, parts, streams);
    }) as UntypedHandleCall,
    deltaSecrets: ((call: Call) => refuse(call, "DeltaSecrets")) as UntypedHandleCall,
    fetchSecrets: ((_call: unknown, answer: (error: object) => void) =>
      answer(unimplemented("FetchSecrets"))) as UntypedHandleCall,
  });
  const use = options.isFilesOnly === true ? "file certificates only" : "workload certificates";
  parts.log.info(`Starting SDS server for ${use}, will listen on ${options.socket.address}`);
  return {
    async [Symbol.asyncDispose]() {
      for (const stream of streams) stream.close();
      connections.destroy();
      server.forceShutdown();
    },
  };
}

function serveStream(call: Call, parts: StreamParts & Pick<SdsOptions, "onSent">, streams: Set<SdsStream>): void {
  const { metrics, onSent } = parts;
  const stream = new SdsStream(parts, {
    send(bytes) {
      if (call.writableLength >= MOST_UNREAD) return refuseSlowReader(call);
      const startedAt = performance.now();
      call.write(bytes, (error?: Error | null) => {
        if (error) return; // the stream ended first
        metrics.observe(SDS_SEND_TIME, (performance.now() - startedAt) / 1_000);
        onSent?.();
      });
    },
    fail: (code, details) => call.emit("error", { code, details }),
  });
  streams.add(stream);
  const end = (): void => {
    stream.close();
    streams.delete(stream);
  };
  call.on("data", (request: SecretRequest) => stream.receive(request));
  call.on("end", () => {
    end();
    call.end();
  });
  call.on("cancelled", end); // comes with the end of every call
  call.on("error", (error) => {
    end();
    if (!("code" in error)) metrics.count(SDS_INTERNAL_ERRORS);
  });
}

function refuseSlowReader(call: Call): void {
  call.emit("error", { code: Code.RESOURCE_EXHAUSTED, details: `${MOST_UNREAD} answers were not read` });
}

function refuse(call: Call, method: string): void {
  call.emit("error", unimplemented(method));
}

function unimplemented(method: string): { code: number; details: string } {
  return { code: Code.UNIMPLEMENTED, details: `${method} not implemented` };
}

function method(name: string, isStream: boolean) {
  return {
    path: `${SERVICE}/${name}`,
    requestStream: isStream,
    responseStream: isStream,
    requestDeserialize: readRequest,
    responseSerialize: asItIs,
    requestSerialize: asItIs, // a client's business, as is the next: never called
    responseDeserialize: asItIs,
  };
}

const asItIs = (bytes: Buffer): Buffer => bytes;

const SERVICE_DEFINITION = {
  streamSecrets: method("StreamSecrets", true),
  deltaSecrets: method("DeltaSecrets", true),
  fetchSecrets: method("FetchSecrets", false),
} satisfies ServiceDefinition;
