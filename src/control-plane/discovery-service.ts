import { randomUUID } from "node:crypto";
import { type ServerDuplexStream, status } from "@grpc/grpc-js";
import type { Logger } from "../base/index.ts";
import type { Node } from "../proto/gen/envoy/config/core/v3/base_pb.ts";
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from "../proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { type Admission, type Refusal, refusalOf } from "./admit.ts";
import { DeltaStream } from "./delta-stream.ts";
import { HEALTH_TYPE } from "./resource-types.ts";
import { type Resource, type Snapshot, toResource } from "./snapshot.ts";
import { SotwStream } from "./sotw-stream.ts";
import type { StreamPort } from "./stream-port.ts";

export interface DiscoveryOptions extends Admission {
  readonly snapshot: Snapshot;
  readonly log: Logger;
}

/** A configuration that an Envoy refused. */
export interface Rejection {
  readonly nodeId: string;
  readonly typeUrl: string;
  readonly message: string;
}

/** What an agent told about its workload; `error` is empty while the workload is well. */
export interface HealthReport {
  readonly nodeId: string;
  readonly error: string;
}

/** Serves ADS to any number of streams and keeps each up to date. */
export interface DiscoveryService {
  readonly handlers: {
    streamAggregatedResources(call: ServerDuplexStream<DiscoveryRequest, DiscoveryResponse>): void;
    deltaAggregatedResources(call: ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>): void;
  };
  publish(snapshot: Snapshot): void;
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

interface Connected extends Pick<Conversation<never>, "onSnapshot" | "sendBroken"> {
  readonly nodeId: string;
  end(): void;
}

type AnyRequest = DiscoveryRequest | DeltaDiscoveryRequest;

/** Of refusals and reports each. */
const MOST_KEPT = 100;

export function createDiscoveryService(options: DiscoveryOptions): DiscoveryService {
  const { log } = options;
  const streams = new Set<Connected>();
  const rejections: Rejection[] = [];
  const healthReports: HealthReport[] = [];
  const withheld = new Set<string>();
  let snapshot = options.snapshot;

  const portOf = <Request, Response>(
    node: Node,
    call: ServerDuplexStream<Request, Response>,
  ): StreamPort<Response> => ({
    send: (response) => void call.write(response),
    newNonce: () => `${snapshot.version}${randomUUID()}`,
    isWithheld: (typeUrl) => withheld.has(typeUrl),
    onReject(typeUrl, message) {
      log.warn("Envoy refused a configuration", { node: node.id, type: typeUrl, message });
      keep(rejections, { nodeId: node.id, typeUrl, message });
    },
  });
  const onHealth = (node: Node, { errorDetail }: AnyRequest): void => {
    keep(healthReports, { nodeId: node.id, error: errorDetail?.message ?? "" });
    log.info("Workload health", { node: node.id, error: errorDetail?.message ?? "none" });
  };
  const serve = <Request extends AnyRequest, Response>(
    call: ServerDuplexStream<Request, Response>,
    begin: (node: Node, port: StreamPort<Response>) => Conversation<Request>,
  ): void => {
    serveStream(call, {
      admission: options,
      log,
      begin(node) {
        const conversation = begin(node, portOf(node, call));
        const stream: Connected = {
          nodeId: node.id,
          onSnapshot: (next) => conversation.onSnapshot(next),
          sendBroken: (typeUrl, broken) => conversation.sendBroken(typeUrl, broken),
          end: () => call.end(),
        };
        streams.add(stream);
        for (const event of ["close", "cancelled"]) call.once(event, () => streams.delete(stream));
        return (request) => {
          if (request.typeUrl === HEALTH_TYPE) onHealth(node, request);
          else conversation.onRequest(request);
        };
      },
    });
  };
  const publish = (next: Snapshot): void => {
    snapshot = next;
    for (const stream of streams) stream.onSnapshot(next);
  };
  return {
    handlers: {
      streamAggregatedResources: (call) => serve(call, (node, port) => new SotwStream(node, snapshot, port)),
      deltaAggregatedResources: (call) => serve(call, (node, port) => new DeltaStream(node, snapshot, port)),
    },
    publish,
    connected: () => [...streams].map(({ nodeId }) => nodeId),
    rejections: () => rejections,
    healthReports: () => healthReports,
    closeStreams() {
      for (const stream of streams) stream.end();
    },
    withhold(typeUrl, isWithheld) {
      if (isWithheld) withheld.add(typeUrl);
      else if (withheld.delete(typeUrl)) publish(snapshot);
    },
    sendBroken(typeUrl) {
      const broken = toResource("broken", typeUrl, Buffer.from("no protobuf"));
      for (const stream of streams) stream.sendBroken(typeUrl, broken);
    },
  };
}

interface StreamOptions<Request> {
  readonly admission: Admission;
  readonly log: Logger;
  /** Called once the caller is known; returns what takes the requests. */
  readonly begin: (node: Node) => (request: Request) => void;
}

/** Reads a stream: the first request tells the node and is checked, the others are passed on. */
function serveStream<Request extends AnyRequest, Response>(
  call: ServerDuplexStream<Request, Response>,
  { admission, log, begin }: StreamOptions<Request>,
): void {
  let take: ((request: Request) => void) | undefined;
  const refuse = (refusal: Refusal): void => {
    log.warn("Refused a stream", { details: refusal.details });
    call.emit("error", refusal);
  };
  const admit = async (request: Request): Promise<void> => {
    const { node } = request;
    if (node === undefined || node.id === "") {
      return refuse({ code: status.INVALID_ARGUMENT, details: "missing node information" });
    }
    call.pause(); // later requests wait until the caller is known
    const refusal = await refusalOf(call, node, admission);
    if (refusal !== undefined) return refuse(refusal);
    if (call.cancelled) return;
    log.info("Connected", { node: node.id });
    take = begin(node);
    take(request);
    call.resume();
  };
  call.on("data", (request: Request) => {
    if (take !== undefined) take(request);
    else if (request.typeUrl === HEALTH_TYPE) log.warn("Passed over a health report before the first request");
    else void admit(request); // never rejects: whatever cannot be checked is refused
  });
  call.once("end", () => call.end());
}

function keep<T>(list: T[], item: T): void {
  list.push(item);
  list.splice(0, list.length - MOST_KEPT);
}
