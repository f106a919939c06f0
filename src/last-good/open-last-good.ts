import { createHash } from "node:crypto";
import { type Clock, type Logger, type Metrics, systemClock } from "../base/index.ts";
import type { Variant } from "../proto/ads-variant.ts";
import { FollowedStream, type Known } from "./followed-stream.ts";
import { REQUIRED_TYPES } from "./kept-types.ts";
import { KEPT_BYTES } from "./metrics.ts";
import type { ResponseSink } from "./passing-response.ts";
import { nodeIdIn } from "./read-request.ts";
import { StandIn } from "./stand-in.ts";
import { Store } from "./store.ts";
import { WorkQueue } from "./work-queue.ts";

export interface LastGoodOptions {
  /** Absolute; made when it is first needed, mode 0700. Agents may share it. */
  readonly folder: string;
  /** Of Envoy. A stream of another node is not followed. */
  readonly nodeId: string;
  /** What else makes the configuration another one, such as the control plane's address. */
  readonly owner: readonly string[];
  /** Of everything on disk at the same time. */
  readonly mostBytes: number;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock?: Clock;
}

/** What Envoy accepted last, on disk. */
export interface LastGood extends AsyncDisposable {
  /** For a new stream of Envoy's, whose first request is given. Undefined where it is another node's, or cannot be read. */
  follow(variant: Variant, firstRequest: Uint8Array): LastGoodStream | undefined;
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
  /** The response to a request of Envoy's, whole, or undefined. Rejects where the log cannot be read, or was damaged. */
  answer(request: Uint8Array): Promise<Buffer | undefined>;
}

/** Of responses that wait for the disk; a disk that stands still must not fill the memory. */
const MOST_WAITING_BYTES = 64 * 2 ** 20;

/** Nothing is read or written until a stream is followed. Disposing it writes what Envoy has accepted. */
export function openLastGood(options: LastGoodOptions): LastGood {
  const { folder, nodeId, mostBytes, metrics, clock = systemClock } = options;
  const log = options.log.scope("xdsproxy");
  const owner = [nodeId, ...options.owner].join(" ");
  const name = createHash("sha256")
    .update(JSON.stringify([nodeId, ...options.owner]))
    .digest("hex")
    .slice(0, 16);
  const store = new Store({ folder, name, owner, mostBytes, log });
  const queue = new WorkQueue(MOST_WAITING_BYTES);
  const known: Known = { epoch: 0, inStep: new Set(), told: new Set() };
  metrics.gauge(KEPT_BYTES, () => store.size);
  return {
    follow(variant, firstRequest) {
      if (!isFromNode(nodeId, variant, firstRequest)) return undefined;
      const stream = new FollowedStream({ variant, store, queue, known, clock, log });
      return {
        request: (message) => stream.request(message),
        response: () => stream.response(),
        standIn: () => queue.run(() => standInFor(variant, store, queue)),
        close: () => stream.close(),
      };
    },
    async [Symbol.asyncDispose]() {
      await queue.idle();
      await store.close();
    },
  };
}

function isFromNode(nodeId: string, variant: Variant, firstRequest: Uint8Array): boolean {
  try {
    return nodeIdIn(variant, firstRequest) === nodeId;
  } catch {
    return false; // the control plane refuses it in its own words
  }
}

async function standInFor(variant: Variant, store: Store, queue: WorkQueue): Promise<Answers | undefined> {
  await store.load();
  const found = REQUIRED_TYPES.map((typeUrl) => store.type(typeUrl));
  const accepted = found.flatMap((type) => (type === undefined ? [] : [type.atMs]));
  if (accepted.length < found.length) return undefined;
  const standIn = new StandIn(variant, store);
  return { acceptedMs: Math.min(...accepted), answer: (request) => queue.run(() => standIn.answer(request)) };
}
