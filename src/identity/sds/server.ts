import { describeError } from "../../base/index.ts";
import { Code, isStatus } from "../../grpc/index.ts";
import { type ServerStream, serveGrpcStreams } from "../../grpc-stream/index.ts";
import { SDS_INTERNAL_ERRORS, SDS_SEND_TIME } from "./metrics.ts";
import type { SdsOptions } from "./options.ts";
import { readRequest } from "./request.ts";
import { createResponder } from "./response.ts";
import { SdsStream, type StreamParts } from "./stream.ts";

/** Source: istio/istio pkg/istio-agent and security/pkg/nodeagent/sds/server.go. */
const MOST_STREAMS = 100_000;
/** A request names a secret or two. */
const MOST_REQUEST_BYTES = 4 * 2 ** 20;
/** A peer that reads nothing gets nothing more. */
const MOST_UNREAD = 100;
const SERVICE = "/envoy.service.secret.v3.SecretDiscoveryService";

export function startServer(options: SdsOptions): AsyncDisposable {
  const streams = new Set<SdsStream>();
  const parts = { ...options, log: options.log.scope("sds"), respond: createResponder(options.keyProvider) };
  const server = serveGrpcStreams({
    socket: options.socket,
    methods: {
      [`${SERVICE}/StreamSecrets`]: (call) => serveStream(call, parts, streams),
      [`${SERVICE}/DeltaSecrets`]: (call) => refuse(call, "DeltaSecrets"),
      [`${SERVICE}/FetchSecrets`]: (call) => refuse(call, "FetchSecrets"),
    },
    maxStreams: MOST_STREAMS,
  });
  const use = options.isFilesOnly === true ? "file certificates only" : "workload certificates";
  parts.log.info(`Starting SDS server for ${use}, will listen on ${options.socket.address}`);
  return {
    async [Symbol.asyncDispose]() {
      for (const stream of streams) stream.close();
      server[Symbol.dispose]();
    },
  };
}

function serveStream(
  call: ServerStream,
  parts: StreamParts & Pick<SdsOptions, "onSent">,
  streams: Set<SdsStream>,
): void {
  const { metrics, onSent } = parts;
  const fail = (code: number, details: string): void => call.finish({ code, details });
  let unread = 0;
  const stream = new SdsStream(parts, {
    send(bytes) {
      if (unread >= MOST_UNREAD) {
        parts.log.warn("SDS stream ends", { reason: `${MOST_UNREAD} answers were not read` });
        return call.giveUp();
      }
      unread++;
      const startedAt = performance.now();
      void call.send(bytes, () => {
        unread--;
        metrics.observe(SDS_SEND_TIME, (performance.now() - startedAt) / 1_000);
        onSent?.();
      });
    },
    fail,
  });
  streams.add(stream);
  const end = (): void => {
    stream.close();
    streams.delete(stream);
  };
  void call.closed.then(end);
  call.read({ message: (bytes) => stream.receive(readRequest(bytes)) }, MOST_REQUEST_BYTES).then(
    () => {
      end();
      call.finish({ code: Code.OK, details: "" });
    },
    (error) => {
      end();
      if (isStatus(error)) return call.finish(error);
      metrics.count(SDS_INTERNAL_ERRORS);
      call.finish({ code: Code.INTERNAL, details: describeError(error) });
    },
  );
}

function refuse(call: ServerStream, method: string): void {
  call.finish({ code: Code.UNIMPLEMENTED, details: `${method} not implemented` });
}
