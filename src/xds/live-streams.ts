import { aborted, type Logger } from "../base/index.ts";
import { Code, type StreamStatus } from "../grpc/index.ts";
import type { Peer } from "./types.ts";

export interface LiveStream {
  /** Aborts when this stream has to end; `whenCut` says how. */
  readonly cut: AbortSignal;
  /** The first request has shown which peer it is. */
  identify(peer: Peer): void;
  /** It has ended. */
  leave(): void;
}

export interface LiveStreamsOptions {
  /** How many Envoys there may be; none means that every stream is a client's. */
  readonly envoys: () => number;
  readonly maxClients: number;
  readonly log: Logger;
}

/**
 * The open streams and who has to go. An Envoy has only one that counts: its next one ends the oldest, as in Istio.
 * gRPC clients open one for each target, and none of them ends another; above the limit a new one is refused. Streams
 * that have not said a word are bounded, too: the oldest of them goes.
 */
export class LiveStreams {
  readonly #options: LiveStreamsOptions;
  /** The oldest first. */
  readonly #open: { peer: Peer | "unknown"; readonly controller: AbortController }[] = [];
  #isFull = false;

  constructor(options: LiveStreamsOptions) {
    this.#options = options;
  }

  enter(): LiveStream {
    const stream = { peer: "unknown" as Peer | "unknown", controller: new AbortController() };
    this.#open.push(stream);
    const identify = (peer: Peer): void => {
      stream.peer = peer;
      if (peer === "client") this.#refuseAboveLimit(stream.controller);
      else this.#endOldest("envoy", this.#options.envoys(), "registered overlapping stream; closing previous");
    };
    if (this.#options.envoys() === 0) identify("client");
    else this.#endOldest("unknown", this.#options.maxClients, "too many streams without a request; closing the oldest");
    return { cut: stream.controller.signal, identify, leave: () => this.#remove(stream.controller) };
  }

  endAll(): void {
    for (const { controller } of this.#open) controller.abort(ORDERLY);
  }

  #endOldest(peer: Peer | "unknown", most: number, why: string): void {
    const equals = this.#open.filter((stream) => stream.peer === peer);
    for (const { controller } of equals.slice(0, Math.max(0, equals.length - most))) {
      this.#options.log.warn(why);
      controller.abort(ORDERLY);
      this.#remove(controller);
    }
  }

  #refuseAboveLimit(controller: AbortController): void {
    const { maxClients, log } = this.#options;
    if (this.#countClients() <= maxClients) return;
    const details = `the agent serves ${maxClients} streams of gRPC clients, and no more (PILOTBOAT_MAX_XDS_CLIENTS)`;
    if (!this.#isFull) log.warn("refused a stream", { details });
    this.#isFull = true; // told once, until there is room again: clients try again and again
    controller.abort({ code: Code.RESOURCE_EXHAUSTED, details } satisfies StreamStatus);
    this.#remove(controller);
  }

  #remove(controller: AbortController): void {
    const at = this.#open.findIndex((stream) => stream.controller === controller);
    if (at < 0) return;
    this.#open.splice(at, 1);
    if (this.#countClients() < this.#options.maxClients) this.#isFull = false;
  }

  #countClients(): number {
    return this.#open.filter(({ peer }) => peer === "client").length;
  }
}

const ORDERLY: StreamStatus = { code: Code.OK, details: "" };

/** Resolves with the status that the stream has to end with, once it has to. */
export async function whenCut(cut: AbortSignal): Promise<StreamStatus> {
  await aborted(cut);
  return cut.reason as StreamStatus;
}
