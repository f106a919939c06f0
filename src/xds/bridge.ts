import { type Clock, describeError, type Logger, type Metrics, oneLine } from "../base/index.ts";
import { type StreamStatus, statusOf } from "../grpc/index.ts";
import { type Keepalive, type MessageHandler, type ServerStream, TooLong } from "../grpc-stream/index.ts";
import { hideSecretsInText } from "../istio/index.ts";
import type { Announcements } from "./announcements.ts";
import type { UpstreamStream } from "./kept-stream.ts";
import type { KeptStreams } from "./kept-streams.ts";
import { RELAYED_BYTES, REQUESTS, TO_CONTROL_PLANE } from "./metrics.ts";
import { OwnSubscriptions } from "./own-subscriptions.ts";
import { peekRequest, type RequestFacts } from "./peek.ts";
import { peekPeer, peerOf } from "./peer.ts";
import type { ResponseHook } from "./response-hooks.ts";
import { Responses } from "./responses.ts";
import { accountForEnd, cutOff, endByUpstream, peerGone, type StreamEnd } from "./stream-end.ts";
import { type Intercept, LISTENER_TYPE, type Peer, type UpstreamOptions } from "./types.ts";
import { openUpstream } from "./upstream.ts";
import type { UpstreamWatch } from "./upstream-watch.ts";
import type { Variant } from "./variant.ts";

export interface BridgeOptions {
  /** Number of the stream in the log, from 1. */
  readonly id: number;
  readonly variant: Variant;
  /** Undefined until the first request shows it. */
  readonly peer: Peer | undefined;
  /** Called when the first request shows it. */
  readonly onPeer: (peer: Peer) => void;
  readonly upstream: UpstreamOptions;
  readonly keepalive: Keepalive;
  readonly intercept: ReadonlyMap<string, Intercept>;
  readonly announcements: Announcements;
  readonly maxRequestBytes: number;
  /** Called with the size of every message from the peer. */
  readonly noteRequestSize: (bytes: number) => void;
  /** The watch that follows the stream: its peer's, and until the peer is known, Envoy's. */
  readonly watches: Readonly<Record<Peer, UpstreamWatch>>;
  readonly hooks: readonly ResponseHook[];
  /** Remembers what Envoy accepts. */
  readonly kept: KeptStreams | undefined;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Called for each request that leaves for the control plane. */
  readonly onRequest?: (() => void) | undefined;
  /** Called each time that Envoy accepts listeners. */
  readonly onListeners?: (() => void) | undefined;
  readonly clock: Clock;
}

/**
 * One stream of Envoy, or of a gRPC client, and its counterpart to the control plane, until either ends or `cut` aborts.
 * Never rejects.
 *
 * Requests are never held back: Envoy's are read and handed on at once, however many wait for the control plane (Node's
 * writable keeps them in order, without bound). Responses are: no more is read than Envoy has room for.
 * With bounds on both ways, Envoy, agent and control plane could each be stuck sending while none of them reads.
 */
export async function bridge(downstream: ServerStream, options: BridgeOptions, cut: AbortSignal): Promise<void> {
  await new Bridge(downstream, options).run(cut);
}

class Bridge {
  readonly #downstream: ServerStream;
  readonly #options: BridgeOptions;
  /** Set once the upstream call exists. */
  #upstream: UpstreamStream | undefined;
  readonly #own: OwnSubscriptions;
  #isOver = false;
  #wasConnected = false;
  #peer: Peer | undefined;
  readonly #responses: Responses;
  /** Begins to read the peer's requests. */
  #readRequests = (): void => undefined;

  constructor(downstream: ServerStream, options: BridgeOptions) {
    this.#downstream = downstream;
    this.#options = options;
    this.#peer = options.peer;
    this.#own = new OwnSubscriptions({ ...options, send: (message) => this.#send(message) });
    this.#responses = new Responses({
      ...options,
      downstream,
      own: this.#own,
      peer: () => this.#peer ?? "envoy",
      watch: () => this.#watch,
      send: (message) => this.#send(message),
    });
  }

  get #watch(): UpstreamWatch {
    return this.#options.watches[this.#peer ?? "envoy"];
  }

  async run(cut: AbortSignal): Promise<void> {
    if (cut.aborted) return this.#finish(await cutOff(cut));
    const read = new Promise<void>((resolve, reject) => {
      this.#readRequests = () => this.#read(resolve, reject);
    });
    const gone = peerGone(read, this.#downstream.broken);
    const end = await Promise.race([this.#relay(), gone, cutOff(cut)]);
    this.#isOver = true;
    this.#own.close();
    this.#responses.close();
    this.#upstream?.close();
    this.#account(end);
    this.#finish(end);
  }

  /** Opens the upstream, then carries messages both ways until the upstream ends. Never rejects. */
  async #relay(): Promise<StreamEnd> {
    const { variant, upstream, keepalive, kept, log, id } = this.#options;
    this.#watch.connecting(id);
    try {
      const handler = this.#responses;
      const open = (to: MessageHandler): Promise<UpstreamStream> =>
        openUpstream({ variant, upstream, keepalive, handler: to, log });
      const onFailure = async (status: StreamStatus): Promise<void> =>
        this.#account(await endByUpstream(status, upstream));
      const call = await (kept?.open({ id, variant, open, handler, onFailure }) ?? open(handler));
      this.#upstream = call;
      if (this.#isOver) call.close(); // the peer left while credentials were read
      void call.connected.then((isConnected) => {
        if (!isConnected || this.#isOver) return;
        this.#wasConnected = true;
        this.#watch.connected(id, variant.name === "delta");
      });
      this.#readRequests();
      return await endByUpstream(await call.status, upstream);
    } catch (error) {
      return endByUpstream(statusOf(error), upstream);
    }
  }

  #read(done: () => void, fail: (error: unknown) => void): void {
    const { maxRequestBytes, noteRequestSize, log, id } = this.#options;
    this.#downstream.read({ message: (request) => this.#takeRequest(request) }, maxRequestBytes).then(done, (error) => {
      if (error instanceof TooLong) {
        const { bytes, details } = error;
        noteRequestSize(bytes);
        log.warn("downstream terminated with unexpected error", { id, details, limit: "ISTIO_GPRC_MAXRECVMSGSIZE" });
      }
      fail(error);
    });
  }

  #takeRequest(message: Buffer): void {
    if (this.#isOver) return;
    this.#options.noteRequestSize(message.length);
    if (this.#peer === undefined) this.#identify(message);
    this.#send(message);
    const facts = this.#peek(message);
    if (facts === undefined) return;
    this.#noteVerdict(facts);
    this.#watch.types.requested(this.#options.id, facts, message, this.#options.variant);
    this.#responses.noteRequest(facts, message);
    if (facts.typeUrl === LISTENER_TYPE && this.#speaksForAgent()) this.#own.subscribeOnce();
  }

  /** The first request shows whose stream this is. */
  #identify(message: Buffer): void {
    const { variant, onPeer, watches, hooks, log, id } = this.#options;
    const facts = this.#readOr(() => peekPeer(variant, message));
    this.#peer = facts === undefined ? "envoy" : peerOf(facts);
    if (this.#peer === "client") {
      watches.envoy.ended(id);
      watches.client.connecting(id);
      log.debug("stream of a gRPC client", { id, node: facts?.nodeId, userAgent: facts?.userAgent });
    } else {
      const found = hooks.map((hook) => this.#readOr(() => hook.forStream(variant, message)));
      this.#responses.useHooks(found.filter((hook) => hook !== undefined));
    }
    onPeer(this.#peer);
  }

  /** Beside an Envoy only its stream carries the agent's own subscriptions. */
  #speaksForAgent(): boolean {
    return this.#peer !== "client" || this.#options.peer === "client";
  }

  /** Envoy's reasons may quote its configuration, and everybody may read the readiness that tells them: without secrets. */
  #peek(message: Buffer): RequestFacts | undefined {
    const facts = this.#readOr(() => peekRequest(this.#options.variant, message));
    return facts?.rejection === undefined ? facts : { ...facts, rejection: hideSecretsInText(facts.rejection) };
  }

  /** Undefined for bytes that are no request: the control plane refuses those in its own words. */
  #readOr<T>(peek: () => T): T | undefined {
    try {
      return peek();
    } catch (error) {
      this.#options.log.debug("request cannot be read", { id: this.#options.id, reason: describeError(error) });
      return undefined;
    }
  }

  #noteVerdict({ typeUrl, nonce, versionInfo, rejection }: RequestFacts): void {
    const { id, onListeners } = this.#options;
    if (rejection !== undefined)
      this.#watch.rejected(id, { typeUrl, nonce, versionInfo, message: oneLine(rejection, "; ") });
    else if (nonce !== "") {
      this.#watch.accepted(id, typeUrl);
      if (typeUrl === LISTENER_TYPE) onListeners?.();
    }
  }

  #send(message: Buffer): void {
    if (this.#isOver) return;
    this.#options.metrics.count(REQUESTS);
    this.#options.metrics.count(RELAYED_BYTES, TO_CONTROL_PLANE, message.length);
    this.#upstream?.send(message);
    this.#options.onRequest?.();
  }

  #account(end: StreamEnd): void {
    const { metrics, log, id } = this.#options;
    const [wasConnected, speaksForAgent] = [this.#wasConnected, this.#speaksForAgent()];
    accountForEnd(end, { id, wasConnected, speaksForAgent, watch: this.#watch, metrics, log });
  }

  #finish({ status }: StreamEnd): void {
    this.#downstream.finish(status);
  }
}
