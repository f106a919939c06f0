import { type Clock, describeError, type Logger } from "../base/index.ts";
import type { Variant } from "../proto/ads-variant.ts";
import { judgeAccepted } from "./judge-accepted.ts";
import { isDispensable, isKept } from "./kept-types.ts";
import { PassingResponse, type ResponseSink } from "./passing-response.ts";
import { type Request, readRequest } from "./read-request.ts";
import type { Store } from "./store.ts";
import { Subscription } from "./subscription.ts";
import type { WorkQueue } from "./work-queue.ts";

export interface FollowOptions {
  readonly variant: Variant;
  readonly store: Store;
  /** One for all that use the store. */
  readonly queue: WorkQueue;
  readonly known: Known;
  readonly clock: Clock;
  readonly log: Logger;
}

/** One for all streams; types by their URL. */
export interface Known {
  /** Grows when something was missed: what a stream that began before says is not all there is. */
  epoch: number;
  /** All of the type that Envoy accepted in this run is stored. */
  readonly inStep: Set<string>;
  /** The log says why it is not kept. */
  readonly told: Set<string>;
}

/** What is known of one type on a stream. */
interface Followed {
  readonly subscription: Subscription;
  /** Responses in the order in which they were sent, until those before them are answered, too. */
  open: Open[];
  hasAccepted: boolean;
}

interface Open {
  readonly response: PassingResponse;
  /** Undefined until Envoy answers. */
  isAccepted: boolean | undefined;
}

/** An Envoy that answers nothing must not fill the memory. */
const MOST_OPEN = 16;

/**
 * Stores what passes on one stream between Envoy and the control plane, once Envoy accepts it. Where it cannot know what
 * Envoy has, all that is stored goes, since types belong together, and Envoy's next stream begins anew.
 */
export class FollowedStream {
  readonly #options: FollowOptions;
  readonly #types = new Map<string, Followed>();
  #isOver = false;
  /** Undefined until the first request. */
  #epoch: number | undefined;

  constructor(options: FollowOptions) {
    this.#options = options;
  }

  /** Every message to the control plane, in its order. */
  request(message: Uint8Array): void {
    const { queue } = this.#options;
    void queue.run(async () => {
      const request = await this.#read(message);
      if (request !== undefined && isKept(request.typeUrl)) await this.#takeRequest(request);
    });
  }

  async #read(message: Uint8Array): Promise<Request | undefined> {
    const { variant, queue, log } = this.#options;
    try {
      return await readRequest(variant, message, queue.turns);
    } catch (error) {
      log.debug("request cannot be read", { reason: describeError(error) });
      return undefined;
    }
  }

  /** Every message of the control plane, one after another. */
  response(): ResponseSink {
    const { variant, store, queue } = this.#options;
    const isWanted = (): boolean => this.#isFollowed;
    return new PassingResponse(variant, { store, queue, isWanted, onEnd: (one) => this.#takeResponse(one) });
  }

  /** The stream is over: what Envoy has not answered does not count, though Envoy may have it. */
  close(): void {
    const { queue, variant, known } = this.#options;
    void queue.run(async () => {
      if (variant.name === "delta" && this.#isFollowed)
        for (const [typeUrl, { open }] of this.#types) if (open.length > 0) known.inStep.delete(typeUrl);
      this.#isOver = true;
      this.#dropAll();
    });
  }

  get #isFollowed(): boolean {
    return !this.#isOver && this.#epoch === this.#options.known.epoch;
  }

  async #takeResponse(response: PassingResponse): Promise<void> {
    const followed = this.#types.get(response.typeUrl);
    if (!this.#isFollowed) return response.drop();
    if (response.isLost) return this.#giveUp(); // also where its type is among what was lost
    if (followed === undefined) return response.drop();
    followed.open.push({ response, isAccepted: undefined });
    if (followed.open.length > MOST_OPEN) await this.#giveUp("Envoy answers nothing");
  }

  async #takeRequest(request: Request): Promise<void> {
    this.#epoch ??= this.#options.known.epoch;
    if (!this.#isFollowed) return;
    const known = this.#types.get(request.typeUrl);
    if (known === undefined) {
      const subscription = new Subscription(request, this.#options.variant.name === "delta");
      this.#types.set(request.typeUrl, { subscription, open: [], hasAccepted: false });
      return;
    }
    known.subscription.change(request);
    if (request.nonce !== "") await this.#settle(known, request);
  }

  async #settle(followed: Followed, { nonce, version, isRejection }: Request): Promise<void> {
    const isSotw = this.#options.variant.name === "sotw";
    const at = followed.open.findIndex(({ response }) => response.nonce === nonce);
    const answered = followed.open[at];
    if (answered === undefined) return;
    // Envoy took what was good of it, and all removals
    if (isRejection && !isSotw) return this.#miss(answered.response.typeUrl, "Envoy rejected a part of a change");
    // in whole states a later request may carry the nonce of a response that was refused, and names an earlier version
    answered.isAccepted = !isRejection && (!isSotw || version === answered.response.version);
    if (isSotw) for (const { response } of followed.open.splice(0, at)) response.drop(); // the later one counts
    while (this.#isFollowed && followed.open[0]?.isAccepted !== undefined) {
      const next = followed.open.shift();
      if (next?.isAccepted) await this.#accept(followed, next.response);
      else next?.response.drop();
    }
  }

  async #accept(followed: Followed, response: PassingResponse): Promise<void> {
    const { store, known, clock, variant } = this.#options;
    const { typeUrl, names, removed, version } = response;
    const isFirst = !followed.hasAccepted;
    followed.hasAccepted = true;
    if (response.flaw !== undefined) return this.#miss(typeUrl, response.flaw);
    const judgement = judgeAccepted({
      ...{ subscription: followed.subscription, isSotw: variant.name === "sotw", isFirst, names, removed },
      isInStep: known.inStep.has(typeUrl),
      stored: store.type(typeUrl),
    });
    if (judgement.kind === "forget") {
      response.drop();
      return this.#miss(typeUrl, "Envoy has resources of which nothing is known");
    }
    const isStored = await response.accept({ version, removed: judgement.removed, atMs: clock.now() });
    if (isStored) known.inStep.add(typeUrl);
    else await this.#giveUp();
  }

  /** Envoy has something of a type that is not stored. Without the agent's own types the rest can still be served. */
  async #miss(typeUrl: string, reason: string): Promise<void> {
    const { store, known, log } = this.#options;
    if (!known.told.has(typeUrl)) log.info("Configuration is not kept for a restart", { typeUrl, reason });
    known.told.add(typeUrl);
    if (!isDispensable(typeUrl)) return this.#giveUp();
    const followed = this.#types.get(typeUrl);
    for (const { response } of followed?.open.splice(0) ?? []) response.drop();
    if (followed !== undefined) followed.hasAccepted = true; // so that the next is not taken for all
    known.inStep.delete(typeUrl);
    await store.forget(typeUrl);
  }

  /** Nothing of what is stored can be served any more. */
  async #giveUp(reason?: string): Promise<void> {
    const { store, known, log } = this.#options;
    if (reason !== undefined) log.info("Configuration is not kept for a restart", { reason });
    known.epoch++;
    known.inStep.clear();
    this.#dropAll();
    await store.forgetAll();
  }

  #dropAll(): void {
    for (const { open } of this.#types.values()) for (const { response } of open) response.drop();
    this.#types.clear();
  }
}
