import { create } from "@bufbuild/protobuf";
import type { Node } from "../../proto/gen/envoy/config/core/v3/base_pb.ts";
import {
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
} from "../../proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import {
  CLUSTER_TYPE,
  ENDPOINT_TYPE,
  EXTENSION_TYPE,
  inPushOrder,
  isAnswered,
  isWildcardType,
} from "./resource-types.ts";
import { type Resource, type Snapshot, selectNamed } from "./snapshot.ts";
import { type StreamPort, UNANSWERED, type WatchReport } from "./stream-port.ts";

interface Subscription {
  readonly typeUrl: string;
  isWildcard: boolean;
  readonly names: Set<string>;
  /** Version of what the client has, by name. */
  readonly sent: Map<string, string>;
  nonce: string;
  acked: string;
  sentMs: number;
  lastError: string;
  /** An answer was held back and everything has to be sent. */
  isOwed: boolean;
}

type Resources = ReadonlyMap<string, Resource>;

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
    if (!isAnswered(request.typeUrl)) return;
    const known = this.#subscriptions.get(request.typeUrl);
    this.#note(request);
    if (known === undefined) this.#begin(request);
    else if (request.responseNonce === "" || request.responseNonce === known.nonce) this.#change(known, request);
  }

  watches(): readonly WatchReport[] {
    return [...this.#subscriptions.values()].map(({ isWildcard, names, sent, nonce, ...one }) => ({
      ...{ typeUrl: one.typeUrl, acked: one.acked, sentMs: one.sentMs, lastError: one.lastError },
      names: isWildcard ? [...new Set([...names, ...sent.keys()])] : [...names],
      sent: nonce,
    }));
  }

  /** What became of the latest response. */
  #note({ typeUrl, responseNonce, errorDetail }: DeltaDiscoveryRequest): void {
    const subscription = this.#subscriptions.get(typeUrl);
    if (subscription === undefined || responseNonce === "" || responseNonce !== subscription.nonce) return;
    subscription.lastError = errorDetail?.message ?? "";
    if (errorDetail === undefined) subscription.acked = responseNonce;
  }

  /** Sends what differs from what the client has. */
  onSnapshot(snapshot: Snapshot): void {
    this.#snapshot = snapshot;
    const hasNewClusters = this.#pushChanges(this.#subscriptions.get(CLUSTER_TYPE));
    for (const typeUrl of inPushOrder(this.#subscriptions.keys())) {
      if (typeUrl === ENDPOINT_TYPE && hasNewClusters) this.#sendEndpoints();
      else if (typeUrl !== CLUSTER_TYPE) this.#pushChanges(this.#subscriptions.get(typeUrl));
    }
  }

  /** Sends a resource of that type that no client can read, if the type is subscribed. */
  sendBroken(typeUrl: string, broken: Resource): void {
    const subscription = this.#subscriptions.get(typeUrl);
    if (subscription === undefined) return;
    this.#send(subscription, new Map([[broken.name, broken]]));
    subscription.sent.delete(broken.name); // it will be refused
  }

  #begin(request: DeltaDiscoveryRequest): void {
    const { typeUrl, resourceNamesSubscribe: asked, initialResourceVersions } = request;
    const names = new Set([...asked, ...Object.keys(initialResourceVersions)]);
    for (const name of request.resourceNamesUnsubscribe) names.delete(name);
    const isWildcard = names.delete("*") || (asked.length === 0 && isWildcardType(typeUrl));
    const sent = new Map(Object.entries(initialResourceVersions));
    const subscription: Subscription = { ...UNANSWERED, typeUrl, isWildcard, names, sent, isOwed: false };
    this.#subscriptions.set(typeUrl, subscription);
    this.#sendAll(subscription, asked);
    this.#followClusters(typeUrl);
  }

  #change(known: Subscription, { resourceNamesSubscribe, resourceNamesUnsubscribe }: DeltaDiscoveryRequest): void {
    for (const name of resourceNamesSubscribe) {
      if (name === "*") known.isWildcard = true;
      else known.names.add(name);
    }
    for (const name of resourceNamesUnsubscribe) {
      if (name === "*") known.isWildcard = false;
      known.names.delete(name);
      known.sent.delete(name);
    }
    if (resourceNamesSubscribe.length === 0) return; // an acknowledgement, or less than before
    if (resourceNamesSubscribe.includes("*")) this.#sendAll(known, resourceNamesSubscribe);
    else this.#sendNamed(known, resourceNamesSubscribe);
    this.#followClusters(known.typeUrl);
  }

  /** Without endpoints after clusters a reconnecting Envoy can wait for ever while it warms them. */
  #followClusters(typeUrl: string): void {
    if (typeUrl === CLUSTER_TYPE) this.#sendEndpoints();
  }

  #sendEndpoints(): void {
    const endpoints = this.#subscriptions.get(ENDPOINT_TYPE);
    if (endpoints !== undefined) this.#sendAll(endpoints);
  }

  #sendAll(subscription: Subscription, asked: readonly string[] = []): void {
    const wanted = this.#wanted(subscription);
    const gone = [...new Set([...subscription.sent.keys(), ...asked])].filter(
      (name) => name !== "*" && !wanted.has(name),
    );
    this.#send(subscription, wanted, gone);
  }

  /** Only the names that were just subscribed, present or not. */
  #sendNamed(subscription: Subscription, names: readonly string[]): void {
    const wanted = selectNamed(this.#wanted(subscription), subscription.typeUrl, names);
    this.#send(
      subscription,
      wanted,
      names.filter((name) => !wanted.has(name)),
    );
  }

  /** True when something was sent that is new to the client. */
  #pushChanges(subscription: Subscription | undefined): boolean {
    if (subscription === undefined) return false;
    const { sent, isOwed } = subscription;
    const wanted = this.#wanted(subscription);
    const changed = new Map([...wanted].filter(([name, { version }]) => isOwed || sent.get(name) !== version));
    const gone = [...sent.keys()].filter((name) => !wanted.has(name));
    if (isOwed || changed.size > 0 || gone.length > 0) this.#send(subscription, changed, gone);
    return changed.size > 0;
  }

  #wanted({ typeUrl, isWildcard, names }: Subscription): Resources {
    const all = this.#snapshot.resourcesFor(this.#node, typeUrl);
    return isWildcard ? all : selectNamed(all, typeUrl, names);
  }

  #send(subscription: Subscription, resources: Resources, gone: readonly string[] = []): void {
    const { typeUrl, sent } = subscription;
    subscription.isOwed = this.#port.isWithheld(typeUrl);
    if (subscription.isOwed) return;
    subscription.nonce = this.#port.newNonce();
    subscription.sentMs = Date.now();
    for (const [name, { version }] of resources) sent.set(name, version);
    for (const name of gone) sent.delete(name);
    this.#port.send(
      create(DeltaDiscoveryResponseSchema, {
        typeUrl,
        nonce: subscription.nonce,
        systemVersionInfo: this.#snapshot.version,
        removedResources: typeUrl === EXTENSION_TYPE ? [] : gone.toSorted(), // istiod never takes an extension away
        resources: [...resources.values()].map(({ name, version, any }) => ({ name, version, resource: any })),
      }),
    );
  }
}
