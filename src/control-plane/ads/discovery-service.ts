import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { Logger } from "../../base/index.ts";
import { Code } from "../../grpc/index.ts";
import type { Node } from "../../proto/gen/envoy/config/core/v3/base_pb.ts";
import {
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  type DiscoveryRequest,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from "../../proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import type { MessageCall } from "../calls/serve-calls.ts";
import type { Admission } from "./admit.ts";
import { createClientNotes, type HealthReport, type Rejection } from "./client-notes.ts";
import { DeltaStream } from "./delta-stream.ts";
import { Pace } from "./pace.ts";
import { HEALTH_TYPE } from "./resource-types.ts";
import { type AnyRequest, serveStream } from "./serve-stream.ts";
import { type Resource, type ResourceCounts, type Snapshot, toResource, withoutSecrets } from "./snapshot.ts";
import { SotwStream } from "./sotw-stream.ts";
import type { StreamPort, WatchReport } from "./stream-port.ts";

export interface DiscoveryOptions extends Admission {
  readonly snapshot: Snapshot;
  readonly log: Logger;
  /** Called for each configuration that an Envoy refuses. */
  readonly onRefusal?: (rejection: Rejection) => void;
  /** What callers on the port without TLS are told of the control plane itself; undefined for a type that says nothing of it. */
  readonly debug?: (typeUrl: string, names: readonly string[]) => readonly Any[] | undefined;
}

interface AdsHandlers {
  streamAggregatedResources(call: MessageCall<DiscoveryRequest, DiscoveryResponse>): Promise<void>;
  deltaAggregatedResources(call: MessageCall<DeltaDiscoveryRequest, DeltaDiscoveryResponse>): Promise<void>;
}

/** Serves ADS to any number of streams and keeps each up to date. */
export interface DiscoveryService {
  readonly handlers: AdsHandlers;
  /** For callers without an identity, who get no secrets. */
  readonly anonymousHandlers: AdsHandlers;
  publish(snapshot: Snapshot): void;
  counts(): ResourceCounts;
  /** Node ids of the open streams. */
  connected(): readonly string[];
  /** The open streams, the oldest first. */
  connections(): readonly Connection[];
  /** What is served now. */
  snapshot(): Snapshot;
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

/** An open stream, for whoever looks. */
export interface Connection {
  /** As istiod makes it: the third part of the node id, and a number. */
  readonly id: string;
  readonly node: Node;
  readonly connectedMs: number;
  /** `address:port`. */
  readonly peer: string;
  readonly watches: readonly WatchReport[];
}

/** The bookkeeping of one stream. */
interface Conversation<Request> {
  watches(): readonly WatchReport[];
  onRequest(request: Request): void;
  onSnapshot(snapshot: Snapshot): void;
  sendBroken(typeUrl: string, broken: Resource): void;
}

interface Connected {
  readonly id: string;
  readonly node: Node;
  readonly connectedMs: number;
  readonly peer: string;
  readonly conversation: Pick<Conversation<never>, "onSnapshot" | "sendBroken" | "watches">;
  readonly pace: Pick<Pace<never>, "push">;
  /** What of all resources it may see. */
  readonly seenBy: (all: Snapshot) => Snapshot;
  end(): void;
}

export function createDiscoveryService(options: DiscoveryOptions): DiscoveryService {
  const { log } = options;
  const streams = new Set<Connected>();
  const notes = createClientNotes(log, options.onRefusal);
  const withheld = new Set<string>();
  let snapshot = options.snapshot;
  let opened = 0;

  const portTo = <Response>(node: Node, send: (response: Response) => void): StreamPort<Response> => ({
    send,
    newNonce: () => `${snapshot.version}${randomUUID()}`,
    isWithheld: (typeUrl) => withheld.has(typeUrl),
    onReject: (typeUrl, message) => notes.onReject(node, typeUrl, message),
  });
  const serve = <Request extends AnyRequest, Response>(
    call: MessageCall<Request, Response>,
    isAnonymous: boolean,
    converse: (node: Node, seen: Snapshot, port: StreamPort<Response>) => Conversation<Request>,
  ): Promise<void> => {
    const { remoteAddress, remotePort } = call.connection;
    const seenBy = (all: Snapshot): Snapshot => (isAnonymous ? withoutSecrets(all) : all);
    const begin = (node: Node): ((request: Request) => Promise<void> | void) => {
      const pace = new Pace<Response>((response) => call.send(response));
      const port = portTo<Response>(node, (response) => pace.send(response));
      const conversation = converse(node, seenBy(snapshot), port);
      const stream: Connected = {
        ...{ node, conversation, pace, seenBy, peer: `${remoteAddress}:${remotePort}`, connectedMs: Date.now() },
        id: `${node.id.split("~")[2] ?? node.id}-${++opened}`,
        end: () => call.finish({ code: Code.OK, details: "" }),
      };
      streams.add(stream);
      void call.closed.then(() => {
        streams.delete(stream);
        log.info("Disconnected", { node: node.id });
      });
      return (request) => {
        if (request.typeUrl === HEALTH_TYPE) notes.onHealth(node, request.errorDetail?.message ?? "");
        else conversation.onRequest(request);
        return pace.room;
      };
    };
    return serveStream(call, { admission: isAnonymous ? undefined : options, log, begin });
  };
  const handlersFor = (isAnonymous: boolean): AdsHandlers => ({
    streamAggregatedResources(call) {
      return serve(call, isAnonymous, (node, seen, port) => {
        const stream = new SotwStream(node, seen, port);
        return isAnonymous
          ? answeringDebug(stream, port, { version: () => snapshot.version, debug: options.debug })
          : stream;
      });
    },
    deltaAggregatedResources: (call) => serve(call, isAnonymous, (...words) => new DeltaStream(...words)),
  });
  const publish = (next: Snapshot): void => {
    snapshot = next;
    for (const { conversation, seenBy, pace } of streams) pace.push(() => conversation.onSnapshot(seenBy(next)));
  };
  return {
    handlers: handlersFor(false),
    anonymousHandlers: handlersFor(true),
    publish,
    counts: () => snapshot.counts,
    connected: () => [...streams].map(({ node }) => node.id),
    connections: () =>
      [...streams].map(({ conversation, ...stream }) => ({ ...stream, watches: conversation.watches() })),
    snapshot: () => snapshot,
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

/** As istioctl reads it: istio/istio pilot/pkg/xds/discovery.go (controlPlane). */
const SELF = { identifier: JSON.stringify({ Component: "pilotboat", ID: "pilotboat" }) };

/** A stream that tells of the control plane as well, without a watch. Source: istio/istio pilot/pkg/xds/debuggen.go. */
function answeringDebug(
  stream: SotwStream,
  port: StreamPort<DiscoveryResponse>,
  { version, debug }: { readonly version: () => string; readonly debug: DiscoveryOptions["debug"] },
): Conversation<DiscoveryRequest> {
  let last = "";
  return {
    onRequest(request) {
      const { typeUrl, resourceNames, responseNonce } = request;
      const resources = debug?.(typeUrl, resourceNames);
      if (resources === undefined) stream.onRequest(request);
      else if (responseNonce === "" || responseNonce !== last) {
        last = port.newNonce(); // istioctl asks with a nonce of its own, and acknowledges nothing
        const response = {
          typeUrl,
          nonce: last,
          versionInfo: version(),
          controlPlane: SELF,
          resources: [...resources],
        };
        port.send(create(DiscoveryResponseSchema, response));
      }
    },
    onSnapshot: (snapshot) => stream.onSnapshot(snapshot),
    sendBroken: (typeUrl, broken) => stream.sendBroken(typeUrl, broken),
    watches: () => stream.watches(),
  };
}
