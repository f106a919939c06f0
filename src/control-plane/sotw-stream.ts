import { create } from "@bufbuild/protobuf";
import type { Node } from "../proto/gen/envoy/config/core/v3/base_pb.ts";
import {
  type DiscoveryRequest,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from "../proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import type { StreamPort } from "./delta-stream.ts";
import { CLUSTER_TYPE, ENDPOINT_TYPE, isWildcardType, PUSH_ORDER, type Snapshot } from "./snapshot.ts";

interface Watch {
  names: ReadonlySet<string>;
  nonce: string;
  /** The next request is answered even if it looks like an acknowledgement. */
  isAnswerDue: boolean;
}

/**
 * One state-of-the-world stream's bookkeeping. Source: istio/istio pkg/xds/server.go (ShouldRespond), Envoy docs
 * "xDS protocol".
 */
export class SotwStream {
  readonly #node: Node;
  readonly #port: StreamPort<DiscoveryResponse>;
  readonly #watches = new Map<string, Watch>();
  #snapshot: Snapshot;

  constructor(node: Node, snapshot: Snapshot, port: StreamPort<DiscoveryResponse>) {
    this.#node = node;
    this.#snapshot = snapshot;
    this.#port = port;
  }

  onRequest(request: DiscoveryRequest): void {
    const { typeUrl } = request;
    if (request.errorDetail !== undefined) {
      this.#port.onReject(typeUrl, request.errorDetail.message);
      return;
    }
    const names = new Set(request.resourceNames);
    const watch = this.#watches.get(typeUrl);
    if (names.size === 0 && !isWildcardType(typeUrl)) {
      this.#watches.delete(typeUrl);
    } else if (watch === undefined || request.responseNonce === "") {
      this.#watches.set(typeUrl, { names, nonce: "", isAnswerDue: false });
      if (typeUrl === CLUSTER_TYPE) this.#markEndpoints();
      this.#send(typeUrl);
    } else if (request.responseNonce === watch.nonce) {
      this.#onCurrent(typeUrl, watch, names);
    }
  }

  onSnapshot(snapshot: Snapshot): void {
    this.#snapshot = snapshot;
    const types = [...this.#watches.keys()].sort((a, b) => PUSH_ORDER.indexOf(a) - PUSH_ORDER.indexOf(b));
    for (const typeUrl of types) this.#send(typeUrl);
  }

  #onCurrent(typeUrl: string, watch: Watch, names: ReadonlySet<string>): void {
    const added = [...names].filter((name) => !watch.names.has(name));
    const hasRemoved = [...watch.names].some((name) => !names.has(name));
    watch.names = names;
    if (watch.isAnswerDue) this.#send(typeUrl);
    else if (added.length > 0) this.#send(typeUrl, isWildcardType(typeUrl) ? undefined : new Set(added));
    else if (hasRemoved && isWildcardType(typeUrl)) this.#send(typeUrl);
    watch.isAnswerDue = false;
  }

  #markEndpoints(): void {
    const endpoints = this.#watches.get(ENDPOINT_TYPE);
    if (endpoints !== undefined) endpoints.isAnswerDue = true;
  }

  #send(typeUrl: string, only?: ReadonlySet<string>): void {
    const watch = this.#watches.get(typeUrl);
    if (watch === undefined) return;
    watch.nonce = this.#port.newNonce();
    const names = only ?? watch.names;
    const resources = [...this.#snapshot.resourcesFor(this.#node, typeUrl).values()];
    const wanted = names.size === 0 ? resources : resources.filter(({ name }) => names.has(name));
    this.#port.send(
      create(DiscoveryResponseSchema, {
        typeUrl,
        nonce: watch.nonce,
        versionInfo: this.#snapshot.version,
        resources: wanted.map(({ any }) => any),
      }),
    );
  }
}
