import { type Clock, describeError, type Logger } from "../base/index.ts";
import type { Variant } from "../proto/ads-variant.ts";
import { judgeAccepted } from "./judge-accepted.ts";
import { isKept } from "./kept-types.ts";
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
  readonly known: KnownTypes;
  readonly clock: Clock;
  readonly log: Logger;
}

/** By type URL; one for all streams. */
export interface KnownTypes {
  /** Envoy has accepted more than is stored. */
  readonly behind: Set<string>;
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

/** Stores what passes on one stream between Envoy and the control plane, once Envoy accepts it. */
export class FollowedStream {
  readonly #options: FollowOptions;
  readonly #types = new Map<string, Followed>();
  #isOver = false;

  constructor(options: FollowOptions) {
    this.#options = options;
  }

  /** Every message to the control plane, in its order. */
  request(message: Uint8Array): void {
    const { variant, queue, log } = this.#options;
    let request: Request;
    try {
      request = readRequest(variant, message);
    } catch (error) {
      log.debug("request cannot be read", { reason: describeError(error) });
      return;
    }
    if (isKept(request.typeUrl)) void queue.run(() => this.#takeRequest(request));
  }

  /** Every message of the control plane, one after another. */
  response(): ResponseSink {
    const { variant, store, queue } = this.#options;
    return new PassingResponse(variant, { store, queue, onEnd: (response) => this.#takeResponse(response) });
  }

  /** The stream is over: what Envoy has not answered does not count. */
  close(): void {
    void this.#options.queue.run(async () => {
      this.#isOver = true;
      for (const { open } of this.#types.values()) for (const { response } of open) response.drop();
      this.#types.clear();
    });
  }

  async #takeResponse(response: PassingResponse): Promise<void> {
    const followed = this.#types.get(response.typeUrl);
    if (followed === undefined || this.#isOver) return response.drop();
    followed.open.push({ response, isAccepted: undefined });
    if (followed.open.length > MOST_OPEN) this.#lose(followed.open.shift()?.response);
  }

  async #takeRequest(request: Request): Promise<void> {
    if (this.#isOver) return;
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
    // in whole states a later request may carry the nonce of a response that was refused, and names an earlier version
    answered.isAccepted = !isRejection && (!isSotw || version === answered.response.version);
    if (isSotw) for (const { response } of followed.open.splice(0, at)) response.drop(); // the later one counts
    while (followed.open[0]?.isAccepted !== undefined) {
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
    if (response.flaw !== undefined) return this.#forget(typeUrl, response.flaw);
    if (response.isLost) return this.#lose(response);
    const judgement = judgeAccepted({
      ...{ subscription: followed.subscription, isSotw: variant.name === "sotw", isFirst, names, removed },
      isBehind: known.behind.has(typeUrl),
      stored: store.type(typeUrl)?.resources,
    });
    if (judgement.kind !== "store") {
      response.drop();
      if (judgement.kind === "forget") await store.forget(typeUrl);
      return;
    }
    const isStored = await response.accept({ version, removed: judgement.removed, atMs: clock.now() });
    if (!isStored) this.#lose(response);
    else if (judgement.isWhole) known.behind.delete(typeUrl);
  }

  async #forget(typeUrl: string, reason: string): Promise<void> {
    const { store, known, log } = this.#options;
    await store.forget(typeUrl);
    if (!known.told.has(typeUrl)) log.info("Configuration of this type is not kept for a restart", { typeUrl, reason });
    known.told.add(typeUrl);
  }

  /** Envoy has it, or may have it, and the store does not. */
  #lose(response: PassingResponse | undefined): void {
    response?.drop();
    if (response !== undefined) this.#options.known.behind.add(response.typeUrl);
  }
}
