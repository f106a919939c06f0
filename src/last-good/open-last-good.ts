import { createHash } from "node:crypto";
import { type Clock, type Logger, type Metrics, systemClock } from "../base/index.ts";
import type { Variant } from "../proto/ads-variant.ts";
import { FollowedStream, type Known } from "./followed-stream.ts";
import { REQUIRED_TYPES } from "./kept-types.ts";
import { KEPT_BYTES } from "./metrics.ts";
import type { ResponseSink } from "./passing-response.ts";
import { nodeIdIn } from "./read-request.ts";
import { type Answer, StandIn } from "./stand-in.ts";
import { Store } from "./store.ts";
import { WorkQueue } from "./work-queue.ts";

export interface LastGoodOptions {
  /** Absolute; made when it is first needed, mode 0700. Agents may share it. */
  readonly folder: string;
  /** Of everything on disk at the same time. */
  readonly mostBytes: number;
  /** Whose Envoy is started first. */
  readonly owner: Owner;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock?: Clock;
}

/** Whose configuration it is. That of another owner is another one. */
export interface Owner {
  /** Of Envoy. A stream of another node is not followed. */
  readonly nodeId: string;
  /** What else makes the configuration another one, such as the control plane's address. */
  readonly others: readonly string[];
}

/** What Envoy accepted last, on disk. */
export interface LastGood extends AsyncDisposable {
  /** For a new stream of Envoy's, whose first request is given. Undefined where it is another node's, or cannot be read. */
  follow(variant: Variant, firstRequest: Uint8Array): LastGoodStream | undefined;
  /** Whether a new Envoy of that owner's would be answered. Never rejects. */
  isWhole(owner: Owner): Promise<boolean>;
  /** An Envoy of that owner's is started: streams that begin from now on are its. Gives the way back. */
  turnTo(owner: Owner): () => void;
}

/** One stream between Envoy and the control plane. What passes is given to it; it never holds anything up. */
export interface LastGoodStream {
  /** Every message to the control plane, in its order. */
  request(message: Uint8Array): void;
  /** A message of the control plane begins. */
  response(): ResponseSink;
  /** The control plane cannot be asked. Undefined where there is no whole configuration to answer with. Never rejects. */
  standIn(): Promise<Answers | undefined>;
  /** The stream is over. */
  close(): void;
}

export interface Answers {
  /** When Envoy accepted the listeners and clusters, the older of them: milliseconds since the epoch. */
  readonly acceptedMs: number;
  /** The response to a request of Envoy's, or undefined. Rejects on bytes that are no request. */
  answer(request: Uint8Array): Promise<Answer | undefined>;
}

/** Of responses that wait for the disk; a disk that stands still must not fill the memory. */
const MOST_WAITING_BYTES = 64 * 2 ** 20;

/** Nothing is read or written until a stream is followed. Disposing it writes what Envoy has accepted. */
export function openLastGood(options: LastGoodOptions): LastGood {
  const logs = new Map<string, OwnedLog>();
  const logOf = (owner: Owner): OwnedLog => {
    const name = nameOf(owner);
    const log = logs.get(name) ?? new OwnedLog(name, owner, options);
    logs.set(name, log);
    return log;
  };
  let current = logOf(options.owner);
  options.metrics.gauge(KEPT_BYTES, () => current.store.size);
  return {
    follow: (variant, firstRequest) => current.follow(variant, firstRequest),
    isWhole: (owner) => logOf(owner).isWhole(),
    turnTo(owner) {
      const before = current;
      current = logOf(owner);
      return () => {
        current = before;
      };
    },
    async [Symbol.asyncDispose]() {
      for (const log of logs.values()) await log[Symbol.asyncDispose]();
    },
  };
}

/** Of its log, without the suffix. */
function nameOf({ nodeId, others }: Owner): string {
  const identity = JSON.stringify([nodeId, ...others]);
  return createHash("sha256").update(identity).digest("hex").slice(0, 16);
}

class OwnedLog implements AsyncDisposable {
  readonly store: Store;
  readonly #nodeId: string;
  readonly #queue = new WorkQueue(MOST_WAITING_BYTES);
  readonly #known: Known = { epoch: 0, inStep: new Set(), told: new Set() };
  readonly #around: { readonly log: Logger; readonly clock: Clock };

  constructor(name: string, { nodeId, others }: Owner, options: LastGoodOptions) {
    const { folder, mostBytes, clock = systemClock } = options;
    this.#nodeId = nodeId;
    this.#around = { log: options.log.scope("xdsproxy"), clock };
    const owner = [nodeId, ...others].join(" ");
    this.store = new Store({ ...{ folder, name, owner, mostBytes }, turns: this.#queue.turns, log: this.#around.log });
  }

  follow(variant: Variant, firstRequest: Uint8Array): LastGoodStream | undefined {
    if (!isFromNode(this.#nodeId, variant, firstRequest)) return undefined;
    const { store } = this;
    const [queue, known] = [this.#queue, this.#known];
    const stream = new FollowedStream({ variant, store, queue, known, ...this.#around });
    return {
      request: (message) => stream.request(message),
      response: () => stream.response(),
      standIn: () => queue.run(() => this.#standIn(variant)),
      close: () => stream.close(),
    };
  }

  async isWhole(): Promise<boolean> {
    return (await this.#queue.run(() => this.#acceptedMs())) !== undefined;
  }

  async #standIn(variant: Variant): Promise<Answers | undefined> {
    const acceptedMs = await this.#acceptedMs();
    if (acceptedMs === undefined) return undefined;
    const standIn = new StandIn(variant, this.store, this.#queue);
    return { acceptedMs, answer: (request) => standIn.answer(request) };
  }

  /** Undefined where what Envoy cannot serve without is missing. */
  async #acceptedMs(): Promise<number | undefined> {
    await this.store.load();
    const found = REQUIRED_TYPES.map((typeUrl) => this.store.type(typeUrl));
    const accepted = found.flatMap((type) => (type === undefined ? [] : [type.atMs]));
    return accepted.length < found.length ? undefined : Math.min(...accepted);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#queue.idle();
    await this.store.close();
  }
}

function isFromNode(nodeId: string, variant: Variant, firstRequest: Uint8Array): boolean {
  try {
    return nodeIdIn(variant, firstRequest) === nodeId;
  } catch {
    return false; // the control plane refuses it in its own words
  }
}
