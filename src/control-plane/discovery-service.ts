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
import { authenticate } from "./authenticate.ts";
import { DeltaStream, type StreamPort } from "./delta-stream.ts";
import type { Snapshot } from "./snapshot.ts";
import { SotwStream } from "./sotw-stream.ts";
import type { TokenIssuer } from "./tokens.ts";

export interface DiscoveryOptions {
  readonly tokens: TokenIssuer;
  readonly trustDomain: string;
  readonly snapshot: Snapshot;
  readonly log: Logger;
}

/** A configuration that an Envoy refused. */
export interface Rejection {
  readonly nodeId: string;
  readonly typeUrl: string;
  readonly message: string;
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
  /** Ends every stream, as istiod does at its connection age. */
  closeStreams(): void;
}

interface Conversation<Request> {
  onRequest(request: Request): void;
  onSnapshot(snapshot: Snapshot): void;
}

interface Connected {
  readonly nodeId: string;
  onSnapshot(snapshot: Snapshot): void;
  end(): void;
}

const KEPT_REJECTIONS = 100;

export function createDiscoveryService(options: DiscoveryOptions): DiscoveryService {
  const { log } = options;
  const streams = new Set<Connected>();
  const rejections: Rejection[] = [];
  let snapshot = options.snapshot;

  const serve = <Request extends { readonly node?: Node | undefined; readonly typeUrl: string }, Response>(
    call: ServerDuplexStream<Request, Response>,
    begin: (node: Node, port: StreamPort<Response>) => Conversation<Request>,
  ): void => {
    let conversation: Conversation<Request> | undefined;
    let stream: Connected | undefined;
    const refuse = (code: number, details: string): void => {
      log.warn("Refused a stream", { details });
      call.emit("error", { code, details });
    };
    const start = (node: Node): Conversation<Request> => {
      log.info("Connected", { node: node.id });
      const begun = begin(node, {
        send: (response) => void call.write(response),
        newNonce: randomUUID,
        onReject(typeUrl, message) {
          log.warn("Envoy refused a configuration", { node: node.id, type: typeUrl, message });
          rejections.push({ nodeId: node.id, typeUrl, message });
          rejections.splice(0, rejections.length - KEPT_REJECTIONS);
        },
      });
      stream = { nodeId: node.id, onSnapshot: (next) => begun.onSnapshot(next), end: () => call.end() };
      streams.add(stream);
      return begun;
    };
    const admit = async (request: Request): Promise<void> => {
      const { node } = request;
      if (node === undefined || node.id === "") return refuse(status.INVALID_ARGUMENT, "missing node information");
      call.pause(); // later requests wait until the caller is known
      const caller = await authenticate(call.metadata, options.tokens, options.trustDomain);
      if (!caller.ok) return refuse(status.UNAUTHENTICATED, `authentication failure: ${caller.reason}`);
      const mismatch = mismatchOf(node, caller.identity);
      if (mismatch !== undefined) return refuse(status.UNAUTHENTICATED, mismatch);
      conversation = start(node);
      conversation.onRequest(request);
      call.resume();
    };
    call.on("data", (request: Request) => {
      if (conversation !== undefined) conversation.onRequest(request);
      else void admit(request); // never rejects: authenticate turns failures into answers
    });
    call.once("end", () => call.end());
    call.once("close", () => stream !== undefined && streams.delete(stream));
    call.once("cancelled", () => stream !== undefined && streams.delete(stream));
  };

  return {
    handlers: {
      streamAggregatedResources: (call) => serve(call, (node, port) => new SotwStream(node, snapshot, port)),
      deltaAggregatedResources: (call) => serve(call, (node, port) => new DeltaStream(node, snapshot, port)),
    },
    publish(next) {
      snapshot = next;
      for (const stream of streams) stream.onSnapshot(next);
    },
    connected: () => [...streams].map(({ nodeId }) => nodeId),
    rejections: () => rejections,
    closeStreams() {
      for (const stream of streams) stream.end();
    },
  };
}

/** A node may only speak for the namespace and account that its identity proves. */
function mismatchOf(node: Node, identity: string): string | undefined {
  const [, namespace, account] = /\/ns\/([^/]*)\/sa\/([^/]*)$/.exec(identity) ?? [];
  const metadata = (node.metadata ?? {}) as Readonly<Record<string, unknown>>;
  const wantedNamespace = String(metadata.NAMESPACE ?? "");
  const wantedAccount = String(metadata.SERVICE_ACCOUNT ?? "");
  const isFitting =
    (wantedNamespace === "" || wantedNamespace === namespace) && (wantedAccount === "" || wantedAccount === account);
  if (isFitting) return undefined;
  return `authorization failed: node ${node.id} claims ${wantedNamespace}/${wantedAccount}, its identity is ${identity}`;
}
