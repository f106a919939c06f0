import { describeError } from "../base/index.ts";
import type { ResponseFacts } from "./peek.ts";
import type { Variant } from "./variant.ts";

/** Changes responses on their way to Envoy, or refuses them. gRPC clients get theirs as they are. */
export interface ResponseHook {
  /**
   * For a new stream of an Envoy, whose first request is given. Undefined where the hook has nothing to do there.
   */
  forStream(variant: Variant, firstRequest: Uint8Array): StreamHook | undefined;
}

export interface StreamHook {
  /** Whether responses of a type are given to `rewrite`. */
  handles(typeUrl: string): boolean;
  /**
   * Takes a response and returns what Envoy is sent; the same object where nothing changes. A promise holds up its own type
   * and no other; `over` aborts when the stream ends. Throwing or rejecting refuses the response (NACK) with the error's text.
   */
  rewrite(message: Buffer, facts: ResponseFacts, over: AbortSignal): Buffer | Promise<Buffer>;
  /** Called with every request of Envoy's for a type that it handles. */
  noteRequest?(typeUrl: string, message: Uint8Array): void;
}

export interface ResponsePathOptions {
  readonly hooks: readonly StreamHook[];
  /** Sends to Envoy; a promise resolves when Envoy has room for more. Never rejects. */
  readonly forward: (facts: ResponseFacts, message: Buffer) => Promise<void> | void;
  readonly refuse: (facts: ResponseFacts, reason: string) => void;
}

/** Of responses of one type that wait for a hook at work; with more, nothing is read from the control plane. */
const MOST_WAITING_BYTES = 32 * 2 ** 20;

interface Lane {
  /** Settles when everything in the lane has been dealt with. */
  tail: Promise<void>;
  waitingBytes: number;
}

/** The way of one stream's responses through its hooks: in order for each type, and past a type whose hook takes its time. */
export class ResponsePath {
  readonly #options: ResponsePathOptions;
  readonly #lanes = new Map<string, Lane>();
  readonly #over = new AbortController();

  constructor(options: ResponsePathOptions) {
    this.#options = options;
  }

  /** Whether a hook sees, and may refuse, responses of this type. */
  handles(typeUrl: string): boolean {
    return this.#options.hooks.some((hook) => hook.handles(typeUrl));
  }

  noteRequest(typeUrl: string, message: Uint8Array): void {
    for (const hook of this.#options.hooks) if (hook.handles(typeUrl)) hook.noteRequest?.(typeUrl, message);
  }

  /** Resolves when the next response may be read. Never rejects. */
  take(facts: ResponseFacts, message: Buffer): Promise<void> | void {
    const { typeUrl } = facts;
    const lane = this.#lanes.get(typeUrl);
    if (lane !== undefined)
      return this.#queue(lane, facts, message.length, async () =>
        this.#settle(facts, await this.#rewrite(facts, message)),
      );
    const rewritten = this.#rewrite(facts, message);
    if (!(rewritten instanceof Promise)) return this.#settle(facts, rewritten);
    const opened: Lane = { tail: Promise.resolve(), waitingBytes: 0 };
    this.#lanes.set(typeUrl, opened);
    return this.#queue(opened, facts, message.length, async () => this.#settle(facts, await rewritten));
  }

  /** The stream is over: hooks at work give up, and nothing is sent any more. */
  close(): void {
    this.#over.abort(new Error("the stream is over"));
  }

  #queue(lane: Lane, { typeUrl }: ResponseFacts, bytes: number, next: () => Promise<void>): Promise<void> | void {
    lane.waitingBytes += bytes;
    const tail = lane.tail.then(next).then(() => {
      lane.waitingBytes -= bytes;
      if (lane.tail === tail) this.#lanes.delete(typeUrl);
    });
    lane.tail = tail;
    return lane.waitingBytes > MOST_WAITING_BYTES ? tail : undefined;
  }

  /** Through every hook of the type, without a turn of the event loop as long as none needs one. */
  #rewrite(facts: ResponseFacts, message: Buffer): Rewritten | Promise<Rewritten> {
    let rewritten: Buffer | Promise<Buffer> = message;
    try {
      for (const hook of this.#options.hooks) {
        if (!hook.handles(facts.typeUrl)) continue;
        const pass = (bytes: Buffer): Buffer | Promise<Buffer> => hook.rewrite(bytes, facts, this.#over.signal);
        rewritten = rewritten instanceof Promise ? rewritten.then(pass) : pass(rewritten);
      }
    } catch (error) {
      return { refusal: describeError(error) };
    }
    return rewritten instanceof Promise ? rewritten.catch((error) => ({ refusal: describeError(error) })) : rewritten;
  }

  #settle(facts: ResponseFacts, rewritten: Rewritten): Promise<void> | void {
    if (this.#over.signal.aborted) return;
    if (rewritten instanceof Uint8Array) return this.#options.forward(facts, rewritten);
    this.#options.refuse(facts, rewritten.refusal);
  }
}

type Rewritten = Buffer | { readonly refusal: string };
