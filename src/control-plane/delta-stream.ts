import { create } from "@bufbuild/protobuf";
import type { Node } from "../proto/gen/envoy/config/core/v3/base_pb.ts";
import {
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
} from "../proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import type { EnvoyResource } from "./resources.ts";
import { CLUSTER_TYPE, ENDPOINT_TYPE, isWildcardType, PUSH_ORDER, type Snapshot } from "./snapshot.ts";

interface Subscription {
  isWildcard: boolean;
  readonly names: Set<string>;
  /** Version of what the client has, by name. */
  readonly sent: Map<string, string>;
  nonce: string;
}

export interface StreamPort<Response> {
  send(response: Response): void;
  newNonce(): string;
  onReject(typeUrl: string, message: string): void;
}

/**
 * One delta stream's bookkeeping: what is subscribed, what was sent, and so what an event makes us send.
 * Source: istio/istio pilot/pkg/xds/delta.go, Envoy docs "xDS protocol", incremental.
 */
export class DeltaStream {
  readonly #node: Node;
  readonly #port: StreamPort<DeltaDiscoveryResponse>;
  readonly #subscriptions = new Map<string, Subscription>();
  #snapshot: Snapshot;

  constructor(node: Node, snapshot: Snapshot, port: StreamPort<DeltaDiscoveryResponse>) {
    this.#node = node;
    this.#snapshot = snapshot;
    this.#port = port;
  }

  onRequest(request: DeltaDiscoveryRequest): void {
    if (request.errorDetail !== undefined) this.#port.onReject(request.typeUrl, request.errorDetail.message);
    const known = this.#subscriptions.get(request.typeUrl);
    if (known === undefined) {
      this.#begin(request);
      return;
    }
    if (request.responseNonce !== "" && request.responseNonce !== known.nonce) return; // stale
    const added = request.resourceNamesSubscribe.filter((name) => !known.names.has(name));
    for (const name of added) this.#add(known, name);
    for (const name of request.resourceNamesUnsubscribe) this.#remove(known, name);
    if (request.resourceNamesSubscribe.length > 0) this.#answer(request.typeUrl, known, request.resourceNamesSubscribe);
  }

  /** Sends what differs from what the client has. */
  onSnapshot(snapshot: Snapshot): void {
    this.#snapshot = snapshot;
    const types = [...this.#subscriptions.keys()].sort((a, b) => PUSH_ORDER.indexOf(a) - PUSH_ORDER.indexOf(b));
    for (const typeUrl of types) this.#pushChanges(typeUrl);
  }

  #begin(request: DeltaDiscoveryRequest): void {
    const names = new Set([...request.resourceNamesSubscribe, ...Object.keys(request.initialResourceVersions)]);
    for (const name of request.resourceNamesUnsubscribe) names.delete(name);
    const isWildcard =
      names.delete("*") || (request.resourceNamesSubscribe.length === 0 && isWildcardType(request.typeUrl));
    const sent = new Map(Object.entries(request.initialResourceVersions));
    const subscription: Subscription = { isWildcard, names, sent, nonce: "" };
    this.#subscriptions.set(request.typeUrl, subscription);
    this.#send(request.typeUrl, subscription, this.#wanted(request.typeUrl, subscription));
    // Without endpoints after clusters a reconnecting Envoy can wait for ever while it warms them.
    if (request.typeUrl === CLUSTER_TYPE) this.#sendEndpoints();
  }

  #sendEndpoints(): void {
    const endpoints = this.#subscriptions.get(ENDPOINT_TYPE);
    if (endpoints !== undefined) this.#send(ENDPOINT_TYPE, endpoints, this.#wanted(ENDPOINT_TYPE, endpoints));
  }

  #add(subscription: Subscription, name: string): void {
    if (name === "*") subscription.isWildcard = true;
    else subscription.names.add(name);
  }

  #remove(subscription: Subscription, name: string): void {
    if (name === "*") subscription.isWildcard = false;
    subscription.names.delete(name);
    subscription.sent.delete(name);
  }

  /** Only the names that were just subscribed, present or not. */
  #answer(typeUrl: string, subscription: Subscription, names: readonly string[]): void {
    const all = this.#wanted(typeUrl, subscription);
    const asked = new Map([...all].filter(([name]) => names.includes(name) || names.includes("*")));
    this.#send(
      typeUrl,
      subscription,
      asked,
      names.filter((name) => name !== "*" && !all.has(name)),
    );
  }

  #pushChanges(typeUrl: string): void {
    const subscription = this.#subscriptions.get(typeUrl);
    if (subscription === undefined) return;
    const wanted = this.#wanted(typeUrl, subscription);
    const changed = new Map([...wanted].filter(([name, { version }]) => subscription.sent.get(name) !== version));
    const removed = [...subscription.sent.keys()].filter((name) => !wanted.has(name));
    if (changed.size > 0 || removed.length > 0) this.#send(typeUrl, subscription, changed, removed);
  }

  #wanted(typeUrl: string, { isWildcard, names }: Subscription): ReadonlyMap<string, EnvoyResource> {
    const all = this.#snapshot.resourcesFor(this.#node, typeUrl);
    return isWildcard ? all : new Map([...all].filter(([name]) => names.has(name)));
  }

  #send(
    typeUrl: string,
    subscription: Subscription,
    resources: ReadonlyMap<string, EnvoyResource>,
    removedResources: readonly string[] = [],
  ): void {
    subscription.nonce = this.#port.newNonce();
    for (const [name, { version }] of resources) subscription.sent.set(name, version);
    for (const name of removedResources) subscription.sent.delete(name);
    this.#port.send(
      create(DeltaDiscoveryResponseSchema, {
        typeUrl,
        nonce: subscription.nonce,
        systemVersionInfo: this.#snapshot.version,
        removedResources: [...removedResources],
        resources: [...resources.values()].map(({ name, version, any }) => ({ name, version, resource: any })),
      }),
    );
  }
}
