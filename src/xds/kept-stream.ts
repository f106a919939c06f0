import { aborted, type Clock, describeError, pause } from "../base/index.ts";
import { Code, isStatus, plainReason, type StreamStatus } from "../grpc/index.ts";
import { type ClientStream, deliverMessage, type MessageHandler, type PieceHandler } from "../grpc-stream/index.ts";
import { isAway } from "./is-away.ts";
import type { Answer, LastGood, LastGoodStream, StandIn } from "./last-good.ts";
import { peekRequest } from "./peek.ts";
import { peekPeer, peerOf } from "./peer.ts";
import type { Staleness } from "./staleness.ts";
import { isForwardable } from "./types.ts";
import { untilBack } from "./until-back.ts";
import type { Variant } from "./variant.ts";

/** As the relay uses it: it never ends only its own half. */
export type UpstreamStream = Omit<ClientStream, "end">;

export interface KeptStreamOptions {
  readonly id: number;
  readonly variant: Variant;
  readonly lastGood: LastGood;
  readonly staleness: Staleness;
  /** Opens a stream to the control plane. Rejects with a StatusError when credentials cannot be had. */
  readonly open: (handler: MessageHandler) => Promise<UpstreamStream>;
  /** Takes the responses, whoever they are from. */
  readonly handler: MessageHandler;
  /** Called for each attempt that failed, once Envoy is served without the control plane. */
  readonly onFailure: (status: StreamStatus) => Promise<void>;
  readonly clock: Clock;
}

/** A control plane that took the stream and says nothing for so long counts as away. */
const SILENCE_MS = 20_000;
/** Envoy's first request comes with its stream. */
const FIRST_REQUEST_MS = 1_000;
const SILENT: StreamStatus = {
  code: Code.UNAVAILABLE,
  details: `connected, but no response within ${SILENCE_MS / 1_000}s`,
};
/** Envoy opens its next stream, and says what it has. */
const BACK: StreamStatus = { code: Code.OK, details: "" };

/**
 * A stream to the control plane that is remembered: what passes goes to `lastGood`, too. Where the control plane is away and
 * Envoy lacks what it asks for, it is answered from there, until the control plane can be reached again: then the stream
 * ends with OK. Streams of gRPC clients only pass. Returns at once.
 */
export function openKeptStream(options: KeptStreamOptions): UpstreamStream {
  return new KeptStream(options);
}

class KeptStream implements UpstreamStream {
  readonly status: Promise<StreamStatus>;
  readonly connected: Promise<boolean>;
  readonly #options: KeptStreamOptions;
  readonly #over = new AbortController();
  /** Aborts at the control plane's first response. */
  readonly #responded = new AbortController();
  /** Aborts at the first request. */
  readonly #asked = new AbortController();
  #call: UpstreamStream | undefined;
  #followed: LastGoodStream | undefined;
  /** All requests, until it is decided who answers them. */
  #requests: Uint8Array[] | undefined = [];
  #standIn: StandIn | undefined;
  /** Requests to the stand-in are answered in their order. */
  #answers: Promise<void> = Promise.resolve();
  #settle: (status: StreamStatus) => void = () => undefined;
  #setConnected: (isConnected: boolean) => void = () => undefined;

  constructor(options: KeptStreamOptions) {
    this.#options = options;
    this.status = new Promise((resolve) => {
      this.#settle = resolve;
    });
    this.connected = new Promise((resolve) => {
      this.#setConnected = resolve;
    });
    void this.#run();
  }

  send(message: Uint8Array): void {
    if (this.#over.signal.aborted) return;
    if (!this.#asked.signal.aborted) this.#follow(message);
    if (this.#standIn !== undefined) {
      this.#answer(this.#standIn, message);
      return;
    }
    this.#requests?.push(message);
    this.#followed?.request(message);
    this.#call?.send(message);
  }

  close(): void {
    this.#finish({ code: Code.CANCELLED, details: "Cancelled on client" });
  }

  #follow(first: Uint8Array): void {
    const { variant, lastGood } = this.#options;
    try {
      if (peerOf(peekPeer(variant, first)) === "envoy") this.#followed = lastGood.follow(variant, first);
    } catch {
      // the control plane refuses it in its own words
    }
    this.#asked.abort();
  }

  async #run(): Promise<void> {
    try {
      const end = await this.#ask();
      if (end !== undefined) this.#finish(end);
      else await this.#untilBack();
      this.#finish(BACK);
    } catch (error) {
      this.#finish({ code: Code.INTERNAL, details: describeError(error) });
    }
  }

  /** Asks the control plane; resolves with the stream's end, or with undefined when somebody stands in for it. */
  async #ask(): Promise<StreamStatus | undefined> {
    const { open } = this.#options;
    let call: UpstreamStream;
    try {
      call = await open(this.#handler());
    } catch (error) {
      if (!isStatus(error)) throw error;
      return isAway(error) && (await this.#canStandIn(error)) ? undefined : error;
    }
    this.#call = call;
    if (this.#over.signal.aborted) call.close(); // Envoy left while credentials were read
    for (const request of this.#requests ?? []) call.send(request);
    void call.connected.then(this.#setConnected);
    const status = await Promise.race([call.status, this.#silence(call)]);
    const isOut = status === SILENT || (isAway(status) && !this.#responded.signal.aborted);
    if (isOut && (await this.#canStandIn(status))) return undefined;
    this.#requests = undefined;
    return call.status;
  }

  /** Settles only where the control plane took the stream and says nothing, and is not known to be slow. */
  async #silence({ connected }: UpstreamStream): Promise<StreamStatus> {
    const heard = AbortSignal.any([this.#responded.signal, this.#over.signal]);
    if ((await connected) && !this.#options.staleness.isSlow) await pause(SILENCE_MS, heard, this.#options.clock);
    else await aborted(heard);
    return heard.aborted ? new Promise(() => undefined) : SILENT;
  }

  /**
   * Whether there are resources of Envoy's own types that it asks for and does not have; then all is answered from now on.
   * What only the agent asks for, such as its name table, is no reason: a running Envoy keeps its stream.
   */
  async #canStandIn(status: StreamStatus): Promise<boolean> {
    const { id, variant, onFailure, staleness, clock } = this.#options;
    await pause(FIRST_REQUEST_MS, AbortSignal.any([this.#asked.signal, this.#over.signal]), clock);
    const standIn = await this.#followed?.standIn();
    if (standIn === undefined) return false;
    const answers: Answer[] = [];
    let isLacking = false;
    for (let at = 0; at < (this.#requests?.length ?? 0); at++) {
      const request = this.#requests?.[at] ?? new Uint8Array();
      const answer = await standIn.answer(request);
      if (answer === undefined) continue;
      answers.push(answer);
      isLacking ||= answer.resourceCount > 0 && isForwardable(peekRequest(variant, request).typeUrl);
    }
    if (!isLacking || this.#responded.signal.aborted || this.#over.signal.aborted) return false;
    this.#standIn = standIn;
    this.#requests = undefined;
    staleness.begin(id, standIn.acceptedMs, plainReason(status.details));
    this.#deliver(async () => {
      await onFailure(status);
      return answers;
    });
    return true;
  }

  #answer(standIn: StandIn, request: Uint8Array): void {
    this.#deliver(async () => [await standIn.answer(request)]);
  }

  /** Each is read when the one before has been taken. */
  #deliver(find: () => Promise<readonly (Answer | undefined)[]>): void {
    const over = this.#over.signal;
    const deliver = async (): Promise<void> => {
      for (const answer of await find())
        if (answer !== undefined && !over.aborted) await deliverMessage(this.#options.handler, answer, over);
    };
    this.#answers = this.#answers
      .then(deliver)
      .catch((error: unknown) => this.#finish({ code: Code.UNAVAILABLE, details: describeError(error) }));
  }

  /** Resolves when the control plane answers, here or another stream of Envoy's, or a stream to it stays open. */
  async #untilBack(): Promise<void> {
    const { open, onFailure, clock, staleness } = this.#options;
    const over = AbortSignal.any([this.#over.signal, this.#responded.signal, staleness.over]);
    await Promise.race([this.#call?.status, aborted(over)]);
    await untilBack({ open, onFailure, clock, over });
  }

  /** Shows what passes to `lastGood`. A response to a stream that somebody answered already only says that the control plane is back. */
  #handler(): MessageHandler {
    const { handler } = this.#options;
    return {
      message: (bytes) => {
        if (!this.#noteResponse()) return undefined;
        const sink = this.#followed?.response();
        sink?.write(bytes);
        sink?.end();
        return handler.message(bytes);
      },
      large: (start, length) => {
        if (this.#standIn !== undefined) return undefined;
        const pieces = handler.large?.(start, length);
        if (pieces === undefined || !this.#noteResponse()) return undefined;
        return this.#followed === undefined ? pieces : this.#shown(pieces, this.#followed);
      },
    };
  }

  #shown(pieces: PieceHandler, followed: LastGoodStream): PieceHandler {
    const sink = followed.response();
    return {
      piece(bytes, isLast) {
        sink.write(bytes);
        if (isLast) sink.end();
        return pieces.piece(bytes, isLast);
      },
    };
  }

  /** False for a response that nobody waits for any more; Envoy's next stream then waits for as long as it takes. */
  #noteResponse(): boolean {
    this.#responded.abort();
    if (this.#standIn !== undefined) {
      this.#options.staleness.isSlow = true;
      return false;
    }
    this.#requests = undefined;
    if (this.#followed !== undefined) this.#options.staleness.end(this.#options.id);
    return true;
  }

  #finish(status: StreamStatus): void {
    if (this.#over.signal.aborted) return;
    this.#over.abort();
    this.#setConnected(false);
    this.#settle(status);
    this.#call?.close();
    this.#followed?.close();
  }
}
