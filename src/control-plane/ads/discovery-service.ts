import { randomUUID } from "node:crypto";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { Logger } from "../../base/index.ts";
import type { Node } from "../../proto/gen/envoy/config/core/v3/base_pb.ts";
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from "../../proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import type { Admission } from "./admit.ts";
import { createClientNotes, type HealthReport, type Rejection } from "./client-notes.ts";
import { DeltaStream } from "./delta-stream.ts";
import { HEALTH_TYPE } from "./resource-types.ts";
import { type AnyRequest, serveStream } from "./serve-stream.ts";
import { type Resource, type ResourceCounts, type Snapshot, toResource } from "./snapshot.ts";
import { SotwStream } from "./sotw-stream.ts";
import type { StreamPort } from "./stream-port.ts";

export interface DiscoveryOptions extends Admission {
  readonly snapshot: Snapshot;
  readonly log: Logger;
  /** Called for each configuration that an Envoy refuses. */
  readonly onRefusal?: (rejection: Rejection) => void;
}

/** Serves ADS to any number of streams and keeps each up to date. */
export interface DiscoveryService {
  readonly handlers: {
    streamAggregatedResources(call: ServerDuplexStream<DiscoveryRequest, DiscoveryResponse>): void;
    deltaAggregatedResources(call: ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>): void;
  };
  publish(snapshot: Snapshot): void;
  counts(): ResourceCounts;
  /** Node ids of the open streams. */
  connected(): readonly string[];
  /** The latest refusals, newest last. */
  rejections(): readonly Rejection[];
  /** The latest reports, newest last. */
  healthReports(): readonly HealthReport[];
  /** Ends every stream, as istiod does at its connection age. */
  closeStreams(): void;
  /** Holds back every answer of a type, or sends those that were held back. */
  withhold(typeUrl: string, isWithheld: boolean): void;
  /** Sends to each stream a resource of that type that cannot be read. */
  sendBroken(typeUrl: string): void;
}

/** The bookkeeping of one stream. */
interface Conversation<Request> {
  onRequest(request: Request): void;
  onSnapshot(snapshot: Snapshot): void;
  sendBroken(typeUrl: string, broken: Resource): void;
}

interface Connected {
  readonly nodeId: string;
  readonly conversation: Pick<Conversation<never>, "onSnapshot" | "sendBroken">;
  end(): void;
}

export function createDiscoveryService(options: DiscoveryOptions): DiscoveryService {
  const { log } = options;
  const streams = new Set<Connected>();
  const notes = createClientNotes(log, options.onRefusal);
  const withheld = new Set<string>();
  let snapshot = options.snapshot;

  const portTo = <Response>(node: Node, send: (response: Response) => void): StreamPort<Response> => ({
    send,
    newNonce: () => `${snapshot.version}${randomUUID()}`,
    isWithheld: (typeUrl) => withheld.has(typeUrl),
    onReject: (typeUrl, message) => notes.onReject(node, typeUrl, message),
  });
  const serve = <Request extends AnyRequest, Response>(
    call: ServerDuplexStream<Request, Response>,
    converse: (node: Node, port: StreamPort<Response>) => Conversation<Request>,
  ): void => {
    const begin = (node: Node): ((request: Request) => void) => {
      const conversation = converse(
        node,
        portTo(node, (response) => void call.write(response)),
      );
      const stream: Connected = { nodeId: node.id, conversation, end: () => call.end() };
      streams.add(stream);
      const leave = (): void => void (streams.delete(stream) && log.info("Disconnected", { node: node.id }));
      for (const event of ["close", "cancelled", "finish"]) call.once(event, leave); // whichever comes, in whichever order
      return (request) => {
        if (request.typeUrl === HEALTH_TYPE) notes.onHealth(node, request.errorDetail?.message ?? "");
        else conversation.onRequest(request);
      };
    };
    serveStream(call, { admission: options, log, begin });
  };
  const publish = (next: Snapshot): void => {
    snapshot = next;
    for (const { conversation } of streams) conversation.onSnapshot(next);
  };
  return {
    handlers: {
      streamAggregatedResources: (call) => serve(call, (node, port) => new SotwStream(node, snapshot, port)),
      deltaAggregatedResources: (call) => serve(call, (node, port) => new DeltaStream(node, snapshot, port)),
    },
    publish,
    counts: () => snapshot.counts,
    connected: () => [...streams].map(({ nodeId }) => nodeId),
    rejections: () => notes.rejections,
    healthReports: () => notes.healthReports,
    closeStreams() {
      for (const stream of streams) stream.end();
    },
    withhold(typeUrl, isWithheld) {
      if (isWithheld) withheld.add(typeUrl);
      else if (withheld.delete(typeUrl)) publish(snapshot);
    },
    sendBroken(typeUrl) {
      const broken = toResource("broken", typeUrl, Buffer.from("no protobuf"));
      for (const { conversation } of streams) conversation.sendBroken(typeUrl, broken);
    },
  };
}
