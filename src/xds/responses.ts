import { type Clock, type Logger, type Metrics, oneLine } from "../base/index.ts";
import { Code, StatusError } from "../grpc/index.ts";
import type { MessageHandler, PieceHandler, ServerStream } from "../grpc-stream/index.ts";
import { hideSecretsInText } from "../istio/index.ts";
import { RELAYED_BYTES, RESPONSES, TO_ENVOY } from "./metrics.ts";
import type { OwnSubscriptions } from "./own-subscriptions.ts";
import { PassingResponse } from "./passing-response.ts";
import { peekResponse, type RequestFacts, type ResponseFacts, typeByStart } from "./peek.ts";
import { Rejections } from "./rejections.ts";
import { ResponsePath, type StreamHook } from "./response-hooks.ts";
import { peekContents } from "./response-scanner.ts";
import { type Intercept, isForwardable, PEER_NAMES, type Peer, WRAPPER_TYPE } from "./types.ts";
import type { UpstreamWatch } from "./upstream-watch.ts";
import type { Variant } from "./variant.ts";

export interface ResponsesOptions {
  /** Number of the stream in the log. */
  readonly id: number;
  readonly variant: Variant;
  readonly downstream: ServerStream;
  readonly intercept: ReadonlyMap<string, Intercept>;
  readonly own: OwnSubscriptions;
  /** As far as the first request has shown it. */
  readonly peer: () => Peer;
  readonly watch: () => UpstreamWatch;
  /** Sends a request to the control plane. */
  readonly send: (message: Buffer) => void;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock: Clock;
}

const SLOW_SEND_MS = 10_000;

/**
 * The control plane's responses on one stream: the agent's own to their handlers, the others to the peer, through hooks or
 * in pieces. A promise holds up the next one.
 */
export class Responses implements MessageHandler {
  readonly #options: ResponsesOptions;
  readonly #rejections: Rejections;
  #path = this.#pathThrough([]);
  #isOver = false;

  constructor(options: ResponsesOptions) {
    this.#options = options;
    this.#rejections = new Rejections(options.variant);
  }

  /** Of the peer, once it is known. */
  useHooks(hooks: readonly StreamHook[]): void {
    this.#path = this.#pathThrough(hooks);
  }

  /** A request of the peer's, which a later refusal in its place has to fit to. */
  noteRequest(facts: RequestFacts, message: Buffer): void {
    if (this.#path.handles(facts.typeUrl)) this.#rejections.noteRequest(facts, message);
    this.#path.noteRequest(facts.typeUrl, message);
  }

  /** The stream is over. */
  close(): void {
    this.#isOver = true;
    this.#path.close();
  }

  /** Sends a small response on in the turn in which it came, where nobody changes it. */
  message(message: Buffer): Promise<void> | void {
    if (this.#isOver) return;
    const { variant, intercept, id, log, own } = this.#options;
    this.#noteResponse(message.length);
    const facts = peekResponse(variant, message);
    if (intercept.has(facts.typeUrl)) return own.take(facts, message);
    if (!isForwardable(facts.typeUrl)) {
      log.error(`Skipping forwarding type url ${facts.typeUrl} to Envoy as is not a valid Envoy type`, { id });
      return;
    }
    return this.#path.take(facts, message);
  }

  /** Undefined for a response that the agent itself has to read whole. */
  large(start: Buffer, length: number): PieceHandler | undefined {
    const { id, variant, downstream, clock, watch } = this.#options;
    const typeUrl = typeByStart(variant, start);
    if (typeUrl === undefined || !this.#mayPass(typeUrl)) return undefined;
    this.#noteResponse(length);
    return new PassingResponse({
      variant,
      begin: () => downstream.begin(length),
      onRead: (facts) => {
        if (!this.#mayPass(facts.typeUrl)) throw otherThanItsResources(facts.typeUrl, typeUrl);
      },
      onSent: (facts, contents, tookMs) => {
        watch().types.sent(id, facts, contents);
        this.#noteSent(facts, tookMs);
      },
      now: () => clock.now(),
    });
  }

  /** Whether nobody but the peer wants responses of a type. */
  #mayPass(typeUrl: string): boolean {
    const isOwn = this.#options.intercept.has(typeUrl) || this.#path.handles(typeUrl);
    return !isOwn && isForwardable(typeUrl) && typeUrl !== WRAPPER_TYPE;
  }

  #noteResponse(bytes: number): void {
    const { metrics, id, watch } = this.#options;
    metrics.count(RESPONSES);
    metrics.count(RELAYED_BYTES, TO_ENVOY, bytes);
    watch().responded(id);
  }

  #pathThrough(hooks: readonly StreamHook[]): ResponsePath {
    return new ResponsePath({
      hooks,
      forward: (facts, message) => this.#forward(facts, message),
      refuse: (facts, reason) => this.#reject(facts, reason),
    });
  }

  /** Answers the control plane in Envoy's place, which never sees the response. */
  #reject({ typeUrl, nonce }: ResponseFacts, reason: string): void {
    const { log, id, variant, watch, send } = this.#options;
    const { message, versionInfo } = this.#rejections.encode(typeUrl, nonce, reason);
    const shown = hideSecretsInText(reason);
    log.warn("agent rejected a response", { id, typeUrl, nonce, rejection: shown });
    const facts = { typeUrl, nonce, versionInfo, rejection: oneLine(shown, "; ") };
    watch().rejected(id, { typeUrl, nonce, versionInfo, message: facts.rejection });
    watch().types.requested(id, facts, message, variant);
    send(message);
  }

  /** Resolves when the peer's side has room for more, or is gone. */
  #forward(facts: ResponseFacts, message: Buffer): Promise<void> | void {
    if (this.#isOver) return;
    const { id, clock, variant, downstream, watch } = this.#options;
    const startMs = clock.now();
    const sending = downstream.send(message);
    watch().types.sent(id, facts, peekContents(variant, message));
    return sending?.then(() => this.#noteSent(facts, clock.now() - startMs));
  }

  #noteSent({ typeUrl }: ResponseFacts, tookMs: number): void {
    const { log, id, peer } = this.#options;
    if (tookMs > SLOW_SEND_MS) log.warn(`${PEER_NAMES[peer()]} was slow to take a response`, { id, typeUrl, tookMs });
  }
}

/** Most of it is on its way when this shows: the stream has to end, so that Envoy drops it. */
function otherThanItsResources(typeUrl: string, resourceType: string): StatusError {
  return new StatusError(Code.INTERNAL, `a response of type "${typeUrl}" has resources of type "${resourceType}"`);
}
