import { AgentError, describeError, type Logger, type Metrics } from "../../base/index.ts";
import { Code } from "../../grpc/index.ts";
import { isSameItem, type SecretItem } from "../secrets/secret-item.ts";
import { SDS_EXPIRED_NONCES, SDS_REJECTS } from "./metrics.ts";
import type { SecretRequest } from "./request.ts";
import type { EncodedResponse } from "./response.ts";
import { decide, type Subscription } from "./subscription.ts";

/** What a stream needs of the secrets. */
export interface SecretSource {
  get(name: string): Promise<SecretItem>;
  subscribe(name: string, listener: () => void): () => void;
}

/** What all streams share. */
export interface StreamParts {
  readonly secrets: SecretSource;
  readonly respond: (items: readonly SecretItem[]) => EncodedResponse;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** The other end of one stream. */
export interface StreamPeer {
  send(response: Buffer): void;
  /** Ends the stream with a gRPC status. */
  fail(status: number, details: string): void;
}

/** One name that a stream watches. */
interface Watch {
  readonly stop: () => void;
  /** What the stream was sent last under that name. */
  sent: SecretItem | undefined;
}

const SDS = { type: "sds" };

/** Envoy asks for one name on a stream, and waits for the answer; a file that is named is watched. */
const MOST_NAMES = 1_000;
const MOST_WAITING = 100;

/** Failures that another try may mend; Envoy tries again after either status. */
const PASSING: ReadonlySet<string> = new Set(["CA_UNREACHABLE", "TOKEN_UNREADABLE", "ROOT_CA_UNUSABLE", "STOPPED"]);

/**
 * One SDS stream: requests and pushes are handled one at a time, requests first. Pushes of one name that come while
 * the stream is busy become one, and a secret that this stream already has is not sent again.
 */
export class SdsStream {
  readonly #parts: StreamParts;
  readonly #peer: StreamPeer;
  readonly #requests: SecretRequest[] = [];
  /** Names that changed, in the order of their changes. */
  readonly #pending: string[] = [];
  readonly #watches = new Map<string, Watch>();
  #subscription: Subscription | undefined;
  #isKnown = false;
  #isBusy = false;
  #isClosed = false;

  constructor(parts: StreamParts, peer: StreamPeer) {
    this.#parts = parts;
    this.#peer = peer;
  }

  receive(request: SecretRequest): void {
    if (this.#isClosed) return;
    const refusal = this.#whyTooMuch(request);
    if (refusal !== undefined) this.#fail(Code.RESOURCE_EXHAUSTED, refusal);
    else {
      this.#requests.push(request);
      this.#wake();
    }
  }

  /** Stops all watches; nothing is sent afterwards. */
  close(): void {
    this.#isClosed = true;
    this.#requests.length = 0;
    this.#watch([]);
  }

  #whyTooMuch({ names }: SecretRequest): string | undefined {
    if (names.length > MOST_NAMES) return `more than ${MOST_NAMES} names`;
    return this.#requests.length < MOST_WAITING ? undefined : `more than ${MOST_WAITING} requests wait for an answer`;
  }

  #wake(): void {
    if (this.#isBusy) return;
    this.#isBusy = true;
    void this.#work(); // turns its own failures into the end of the stream
  }

  async #work(): Promise<void> {
    try {
      while (!this.#isClosed) {
        const request = this.#requests.shift();
        if (request !== undefined) await this.#handle(request);
        else if (this.#pending.length > 0) await this.#push(this.#pending[0] ?? "");
        else return;
      }
    } catch (error) {
      this.#fail(
        error instanceof AgentError && PASSING.has(error.code) ? Code.UNAVAILABLE : Code.UNKNOWN,
        describeError(error),
      );
    } finally {
      this.#isBusy = false; // in the same breath as the return: nothing can come in between
    }
  }

  async #handle(request: SecretRequest): Promise<void> {
    if (!this.#isKnown && request.nodeId === "") return this.#fail(Code.INVALID_ARGUMENT, "missing node information");
    this.#isKnown = true;
    const { log, metrics } = this.#parts;
    const decision = decide(this.#subscription, request);
    switch (decision.kind) {
      case "rejected":
        metrics.count(SDS_REJECTS, SDS);
        return log.warn("Envoy refused a secret", { names: request.names.join(), reason: decision.reason });
      case "stale":
        return metrics.count(SDS_EXPIRED_NONCES, SDS);
      case "quiet":
        this.#subscription = decision.subscription;
        return this.#watch(decision.subscription?.names ?? []);
      case "answer":
        this.#subscription = decision.subscription;
        this.#watch(decision.subscription.names);
        return this.#send(await this.#getAll(decision.names));
    }
  }

  /** What the stream already has is not sent again. */
  async #push(name: string): Promise<void> {
    const [item] = await this.#getAll([name]);
    const watch = this.#watches.get(name);
    if (item === undefined || watch === undefined) return;
    if (watch.sent === undefined || !isSameItem(watch.sent, item)) this.#send([item]);
  }

  async #getAll(names: readonly string[]): Promise<SecretItem[]> {
    const items: SecretItem[] = [];
    for (const name of names) {
      this.#settle(name); // what is read now is newer than that push
      try {
        items.push(await this.#parts.secrets.get(name));
      } catch (error) {
        const code = error instanceof AgentError ? error.code : "INTERNAL";
        throw new AgentError(code, `failed to generate secret for ${name}`, { cause: error });
      }
    }
    return items;
  }

  #send(items: readonly SecretItem[]): void {
    if (this.#isClosed) return;
    const response = this.#parts.respond(items);
    for (const item of items) {
      const watch = this.#watches.get(item.name);
      if (watch !== undefined) watch.sent = item;
    }
    if (this.#subscription !== undefined) this.#subscription = { ...this.#subscription, nonce: response.nonce };
    this.#peer.send(response.bytes);
  }

  #watch(names: readonly string[]): void {
    for (const [name, watch] of this.#watches) {
      if (names.includes(name)) continue;
      watch.stop();
      this.#watches.delete(name);
      this.#settle(name);
    }
    for (const name of names) {
      if (!this.#watches.has(name)) this.#watches.set(name, { stop: this.#subscribe(name), sent: undefined });
    }
  }

  #subscribe(name: string): () => void {
    return this.#parts.secrets.subscribe(name, () => {
      if (!this.#pending.includes(name)) this.#pending.push(name);
      this.#wake();
    });
  }

  #settle(name: string): void {
    const at = this.#pending.indexOf(name);
    if (at >= 0) this.#pending.splice(at, 1);
  }

  #fail(status: number, details: string): void {
    if (this.#isClosed) return;
    this.close();
    this.#parts.log.warn("SDS stream ends", { status, reason: details });
    this.#peer.fail(status, details);
  }
}
