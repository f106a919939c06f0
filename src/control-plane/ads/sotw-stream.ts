import { create } from "@bufbuild/protobuf";
import type { Node } from "../../proto/gen/envoy/config/core/v3/base_pb.ts";
import {
  type DiscoveryRequest,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from "../../proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { CLUSTER_TYPE, ENDPOINT_TYPE, inPushOrder, isAnswered, isWildcardType } from "./resource-types.ts";
import { type Resource, type Snapshot, selectNamed } from "./snapshot.ts";
import { type StreamPort, UNANSWERED, type WatchReport } from "./stream-port.ts";

interface Watch {
  readonly typeUrl: string;
  names: ReadonlySet<string>;
  nonce: string;
  acked: string;
  sentMs: number;
  lastError: string;
  /** The next request is answered even if it looks like an acknowledgement. */
  isAnswerDue: boolean;
  /** Versions of what these names stood for when they were sent last; a push that would repeat them is left out. */
  sent: string;
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
    const { typeUrl, errorDetail, resourceNames, responseNonce } = request;
    if (errorDetail !== undefined) this.#port.onReject(typeUrl, errorDetail.message);
    this.#note(request);
    if (errorDetail !== undefined || !isAnswered(typeUrl)) return;
    const names = new Set(resourceNames);
    const watch = this.#watches.get(typeUrl);
    if (names.size === 0 && !isWildcardType(typeUrl)) this.#watches.delete(typeUrl);
    else if (watch === undefined || responseNonce === "") this.#begin(typeUrl, names);
    else if (responseNonce === watch.nonce) this.#onCurrent(watch, names);
  }

  watches(): readonly WatchReport[] {
    return [...this.#watches.values()].map(({ typeUrl, names, nonce, acked, sentMs, lastError }) => ({
      ...{ typeUrl, acked, sentMs, lastError },
      names: [...names],
      sent: nonce,
    }));
  }

  /** What became of the latest response. */
  #note({ typeUrl, responseNonce, errorDetail }: DiscoveryRequest): void {
    const watch = this.#watches.get(typeUrl);
    if (watch === undefined || responseNonce === "" || responseNonce !== watch.nonce) return;
    watch.lastError = errorDetail?.message ?? "";
    if (errorDetail === undefined) watch.acked = responseNonce;
  }

  /** Sends the types whose resources differ from what was sent last. */
  onSnapshot(snapshot: Snapshot): void {
    this.#snapshot = snapshot;
    let hasNewClusters = false;
    for (const typeUrl of inPushOrder(this.#watches.keys())) {
      const watch = this.#watches.get(typeUrl);
      if (watch === undefined) continue;
      const isNew = versionsOf(this.#wanted(watch)) !== watch.sent;
      if (isNew || (typeUrl === ENDPOINT_TYPE && hasNewClusters)) this.#send(watch);
      hasNewClusters ||= isNew && typeUrl === CLUSTER_TYPE;
    }
  }

  /** Sends a resource of that type that no client can read, if the type is watched. */
  sendBroken(typeUrl: string, broken: Resource): void {
    const watch = this.#watches.get(typeUrl);
    if (watch === undefined) return;
    this.#write(watch, [broken]);
    watch.sent = "";
  }

  #begin(typeUrl: string, names: ReadonlySet<string>): void {
    const watch: Watch = { ...UNANSWERED, typeUrl, names, isAnswerDue: false, sent: "" };
    this.#watches.set(typeUrl, watch);
    this.#send(watch);
    const endpoints = this.#watches.get(ENDPOINT_TYPE);
    // New clusters make Envoy ask for their endpoints again, with a request that looks like an acknowledgement.
    if (typeUrl === CLUSTER_TYPE && endpoints !== undefined) endpoints.isAnswerDue = true;
  }

  #onCurrent(watch: Watch, names: ReadonlySet<string>): void {
    const added = [...names].filter((name) => !watch.names.has(name));
    const hasRemoved = [...watch.names].some((name) => !names.has(name));
    const { isAnswerDue } = watch;
    const isWildcard = isWildcardType(watch.typeUrl);
    watch.names = names;
    watch.isAnswerDue = false;
    if (isAnswerDue || (isWildcard && (added.length > 0 || hasRemoved))) this.#send(watch);
    else if (added.length > 0) this.#send(watch, added);
    else if (hasRemoved) watch.sent = versionsOf(this.#wanted(watch));
  }

  #wanted({ typeUrl, names }: Watch): ReadonlyMap<string, Resource> {
    const all = this.#snapshot.resourcesFor(this.#node, typeUrl);
    return names.size === 0 ? all : selectNamed(all, typeUrl, names);
  }

  #send(watch: Watch, only?: readonly string[]): void {
    if (this.#port.isWithheld(watch.typeUrl)) return; // `sent` stays, so the next snapshot sends it
    const wanted = this.#wanted(watch);
    watch.sent = versionsOf(wanted);
    this.#write(watch, [...(only === undefined ? wanted : selectNamed(wanted, watch.typeUrl, only)).values()]);
  }

  #write(watch: Watch, resources: readonly Resource[]): void {
    const { typeUrl } = watch;
    watch.nonce = this.#port.newNonce();
    watch.sentMs = Date.now();
    this.#port.send(
      create(DiscoveryResponseSchema, {
        typeUrl,
        nonce: watch.nonce,
        versionInfo: this.#snapshot.version,
        resources: resources.map(({ any }) => any),
      }),
    );
  }
}

/** Never empty, so that nothing sent yet differs from nothing to send. */
function versionsOf(resources: ReadonlyMap<string, Resource>): string {
  return JSON.stringify([...resources.values()].map(({ name, version }) => [name, version]));
}
