import { status as Code, type ServerDuplexStream } from "@grpc/grpc-js";
import { type Clock, describeError, type Logger, type Metrics } from "../base/index.ts";
import { holdOneMessage } from "./hold-one-message.ts";
import {
  encodeRequest,
  firstResource,
  peekRequest,
  peekResponse,
  type RequestDraft,
  type RequestFacts,
  type ResponseFacts,
} from "./peek.ts";
import { classifyEnd, isStatus, oneLine, type StreamStatus } from "./status.ts";
import { trailers } from "./trailers.ts";
import { type Intercept, isForwardable, type Keepalive, LISTENER_TYPE, type UpstreamOptions } from "./types.ts";
import { openUpstream, type UpstreamCall } from "./upstream.ts";
import type { UpstreamWatch } from "./upstream-watch.ts";
import type { Variant } from "./variant.ts";

export interface BridgeOptions {
  /** Number of the stream in the log, from 1. */
  readonly id: number;
  readonly variant: Variant;
  readonly upstream: UpstreamOptions;
  readonly keepalive: Keepalive;
  readonly intercept: ReadonlyMap<string, Intercept>;
  readonly maxRequestBytes: number;
  /** Told the size of every message from Envoy. */
  readonly noteRequestSize: (bytes: number) => void;
  readonly watch: UpstreamWatch;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock: Clock;
}

export type Downstream = ServerDuplexStream<Buffer, Buffer>;

type End =
  | { readonly by: "upstream"; readonly status: StreamStatus }
  | { readonly by: "envoy"; readonly status: StreamStatus }
  | { readonly by: "displaced" };

const OK: StreamStatus = { code: Code.OK, details: "" };
const SLOW_SEND_MS = 10_000;

/**
 * One stream of Envoy and its counterpart to the control plane, until either ends or `displaced` aborts. Never rejects.
 *
 * Requests are never held back: Envoy's are read and handed on at once, however many wait for the control plane (Node's
 * writable keeps them in order, without bound). Responses are: the next one is read only when Envoy has taken the last.
 * With bounds on both ways, Envoy, agent and control plane could each be stuck sending while nobody reads.
 */
export async function bridge(downstream: Downstream, options: BridgeOptions, displaced: AbortSignal): Promise<void> {
  await new Bridge(downstream, options).run(displaced);
}

class Bridge {
  readonly #downstream: Downstream;
  readonly #options: BridgeOptions;
  /** Set once the upstream call exists. */
  #upstream: UpstreamCall | undefined;
  #isOver = false;
  #wasConnected = false;
  #hasSubscribed = false;
  /** Versions that handlers accepted, by type: what a rejection reports as still in use. */
  readonly #accepted = new Map<string, string>();
  #refuse: (status: StreamStatus) => void = () => undefined;

  constructor(downstream: Downstream, options: BridgeOptions) {
    this.#downstream = downstream;
    this.#options = options;
  }

  async run(displaced: AbortSignal): Promise<void> {
    holdOneMessage(this.#downstream);
    const gone = this.#envoyGone();
    const end = await Promise.race([this.#relay(), gone, whenAborted(displaced)]);
    this.#isOver = true;
    this.#upstream?.close();
    this.#account(end);
    this.#finish(end);
  }

  /** Opens the upstream, then carries messages both ways until the upstream ends. Never rejects. */
  async #relay(): Promise<End> {
    const { variant, upstream, keepalive, watch, log, id } = this.#options;
    watch.connecting(id);
    try {
      const call = await openUpstream({ variant, upstream, keepalive, log });
      this.#upstream = call;
      if (this.#isOver) call.close(); // Envoy left while credentials were read
      void call.connected.then((isConnected) => {
        if (!isConnected || this.#isOver) return;
        this.#wasConnected = true;
        watch.connected(id, variant.name === "delta");
      });
      this.#downstream.on("data", (message: Buffer) => this.#takeRequest(message));
      return { by: "upstream", status: await this.#takeResponses(call) };
    } catch (error) {
      const status = isStatus(error) ? error : { code: Code.INTERNAL, details: describeError(error) };
      return { by: "upstream", status };
    }
  }

  #envoyGone(): Promise<End> {
    return new Promise((resolve) => {
      this.#refuse = (status) => resolve({ by: "envoy", status });
      this.#downstream.once("end", () => resolve({ by: "envoy", status: OK }));
      this.#downstream.once("cancelled", () =>
        resolve({ by: "envoy", status: { code: Code.CANCELLED, details: "Envoy closed the stream" } }),
      );
    });
  }

  #takeRequest(message: Buffer): void {
    const { maxRequestBytes, noteRequestSize, log, id } = this.#options;
    noteRequestSize(message.length);
    if (message.length > maxRequestBytes) {
      const details = `received message larger than max (${message.length} vs. ${maxRequestBytes})`;
      log.warn("downstream terminated with unexpected error", { id, details, limit: "ISTIO_GPRC_MAXRECVMSGSIZE" });
      this.#refuse({ code: Code.RESOURCE_EXHAUSTED, details });
      return;
    }
    this.#send(message);
    const facts = this.#peek(message);
    if (facts === undefined) return;
    this.#noteVerdict(facts);
    if (facts.typeUrl === LISTENER_TYPE) this.#subscribeOnce();
  }

  /** Undefined for bytes that are no request: the control plane refuses those in its own words. */
  #peek(message: Buffer): RequestFacts | undefined {
    try {
      return peekRequest(this.#options.variant, message);
    } catch (error) {
      this.#options.log.debug("request cannot be read", { id: this.#options.id, reason: describeError(error) });
      return undefined;
    }
  }

  #noteVerdict({ typeUrl, nonce, versionInfo, rejection }: RequestFacts): void {
    const { watch, id } = this.#options;
    if (rejection !== undefined) watch.rejected(id, { typeUrl, nonce, versionInfo, message: oneLine(rejection) });
    else if (nonce !== "") watch.accepted(typeUrl);
  }

  #subscribeOnce(): void {
    if (this.#hasSubscribed) return;
    this.#hasSubscribed = true;
    for (const typeUrl of this.#options.intercept.keys()) this.#sendOwn({ typeUrl });
  }

  #sendOwn(draft: RequestDraft): void {
    this.#send(Buffer.from(encodeRequest(this.#options.variant, draft)));
  }

  #send(message: Buffer): void {
    if (this.#isOver) return;
    this.#options.metrics.count("xds_proxy_requests");
    this.#upstream?.stream.write(message);
  }

  /** Resolves with the call's final status once every message before it has been dealt with. */
  async #takeResponses(call: UpstreamCall): Promise<StreamStatus> {
    try {
      for await (const message of call.stream) await this.#dispatch(message as Buffer);
    } catch (error) {
      if (!isStatus(error)) throw error;
    }
    return call.status;
  }

  async #dispatch(message: Buffer): Promise<void> {
    const { variant, intercept, metrics, watch, id, log } = this.#options;
    metrics.count("xds_proxy_responses");
    watch.responded(id);
    const facts = peekResponse(variant, message);
    const handler = intercept.get(facts.typeUrl);
    if (handler !== undefined) return this.#handle(handler, facts, message);
    if (!isForwardable(facts.typeUrl)) {
      log.error(`Skipping forwarding type url ${facts.typeUrl} to Envoy as is not a valid Envoy type`, { id });
      return;
    }
    await this.#forward(facts, message);
  }

  async #handle(handler: Intercept, facts: ResponseFacts, message: Buffer): Promise<void> {
    const { typeUrl, nonce, versionInfo } = facts;
    const resource = firstResource(this.#options.variant, message);
    try {
      if (resource !== undefined) {
        if (resource.typeUrl !== typeUrl)
          throw new Error(`resource is of type "${resource.typeUrl}", not "${typeUrl}"`);
        await handler(resource.value);
      }
      this.#accepted.set(typeUrl, versionInfo);
      this.#sendOwn({ typeUrl, nonce, versionInfo });
    } catch (error) {
      const rejection = describeError(error);
      this.#options.log.warn("agent rejected a response", { id: this.#options.id, typeUrl, nonce, rejection });
      this.#sendOwn({ typeUrl, nonce, versionInfo: this.#accepted.get(typeUrl) ?? "", rejection });
    }
  }

  /** Resolves when Envoy's side has taken the message, or is gone. */
  async #forward(facts: ResponseFacts, message: Buffer): Promise<void> {
    if (this.#isOver) return;
    const { clock, log, id } = this.#options;
    const startMs = clock.now();
    await new Promise<void>((resolve) => {
      this.#downstream.once("cancelled", resolve);
      this.#downstream.write(message, () => {
        this.#downstream.off("cancelled", resolve);
        resolve();
      });
    });
    const tookMs = clock.now() - startMs;
    if (tookMs > SLOW_SEND_MS) log.warn("Envoy was slow to take a response", { id, typeUrl: facts.typeUrl, tookMs });
  }

  #account(end: End): void {
    const { metrics, watch, log, id } = this.#options;
    const status = end.by === "displaced" ? OK : end.status;
    const endClass = classifyEnd(status);
    const type = endClass === "unexpected" ? "error" : "cancelled";
    if (end.by === "envoy") metrics.count("envoy_connection_terminations", { type });
    if (end.by === "upstream") metrics.count("istiod_connection_terminations", { type });
    if (end.by === "upstream" && !this.#wasConnected) metrics.count("istiod_connection_failures");
    if (end.by === "upstream" && endClass === "unexpected") watch.failed(id, status);
    else {
      log.debug(`stream ended by ${end.by}`, { id, ...status });
      watch.ended(id);
    }
  }

  #finish(end: End): void {
    const status = end.by === "displaced" ? OK : end.status;
    if (status.code === Code.OK) this.#downstream.end();
    else this.#downstream.emit("error", trailers(status));
  }
}

function whenAborted(signal: AbortSignal): Promise<End> {
  return new Promise((resolve) => {
    const done = (): void => resolve({ by: "displaced" });
    if (signal.aborted) done();
    else signal.addEventListener("abort", done, { once: true });
  });
}
