import { AgentError, describeError, type Logger, type Metrics } from "../../base/index.ts";
import type { DiscoveryRequest, DiscoveryResponse } from "../../proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { isSameItem, type SecretItem } from "../secrets/secret-item.ts";
import { decide, type Subscription } from "./subscription.ts";

/** What a stream needs of the secrets. */
export interface SecretSource {
  get(name: string): Promise<SecretItem>;
  subscribe(name: string, listener: () => void): () => void;
}

export interface StreamOptions {
  readonly secrets: SecretSource;
  readonly respond: (items: readonly SecretItem[]) => DiscoveryResponse;
  readonly send: (response: DiscoveryResponse) => void;
  /** Ends the stream with a gRPC status. */
  readonly fail: (status: number, details: string) => void;
  readonly log: Logger;
  readonly metrics: Metrics;
}

const UNKNOWN = 2;
const INVALID_ARGUMENT = 3;
const UNAVAILABLE = 14;
const SDS = { type: "sds" };

/** Failures that another try may mend; Envoy tries again after either status. */
const PASSING: ReadonlySet<string> = new Set(["CA_UNREACHABLE", "TOKEN_UNREADABLE", "ROOT_CA_UNUSABLE", "STOPPED"]);

/**
 * One SDS stream: requests and pushes are handled one at a time, requests first. Pushes of one name that come while
 * the stream is busy become one, and a secret that this stream already has is not sent again.
 */
export class SdsStream {
  readonly #options: StreamOptions;
  readonly #requests: DiscoveryRequest[] = [];
  readonly #pending = new Set<string>();
  readonly #unsubscribe = new Map<string, () => void>();
  readonly #sent = new Map<string, SecretItem>();
  #subscription: Subscription | undefined;
  #isKnown = false;
  #isBusy = false;
  #isClosed = false;

  constructor(options: StreamOptions) {
    this.#options = options;
  }

  receive(request: DiscoveryRequest): void {
    this.#requests.push(request);
    this.#wake();
  }

  /** Stops all watches; nothing is sent afterwards. */
  close(): void {
    this.#isClosed = true;
    this.#watch([]);
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
        else if (this.#pending.size > 0) await this.#push();
        else return;
      }
    } catch (error) {
      this.#fail(error instanceof AgentError && PASSING.has(error.code) ? UNAVAILABLE : UNKNOWN, describeError(error));
    } finally {
      this.#isBusy = false; // in the same breath as the return: nothing can come in between
    }
  }

  async #handle(request: DiscoveryRequest): Promise<void> {
    if (!this.#isKnown && (request.node?.id ?? "") === "")
      return this.#fail(INVALID_ARGUMENT, "missing node information");
    this.#isKnown = true;
    const { log, metrics } = this.#options;
    const decision = decide(this.#subscription, {
      names: request.resourceNames,
      responseNonce: request.responseNonce,
      rejection: request.errorDetail && `${request.errorDetail.code}: ${request.errorDetail.message}`,
    });
    switch (decision.kind) {
      case "rejected":
        metrics.count("pilot_total_xds_rejects", SDS);
        return log.warn("Envoy refused a secret", { names: request.resourceNames.join(), reason: decision.reason });
      case "stale":
        return metrics.count("pilot_xds_expired_nonce", SDS);
      case "quiet":
        this.#subscription = decision.subscription;
        return this.#watch(decision.subscription?.names ?? []);
      case "answer":
        this.#subscription = decision.subscription;
        this.#watch(decision.subscription.names);
        return this.#send(await this.#getAll(decision.names));
    }
  }

  /** All that changed since; what the stream already has is left out. */
  async #push(): Promise<void> {
    const [name = ""] = this.#pending;
    this.#pending.delete(name);
    const [item] = await this.#getAll([name]);
    const sent = this.#sent.get(name);
    if (item === undefined || (sent !== undefined && isSameItem(sent, item))) return;
    if (this.#subscription?.names.includes(name) === true) this.#send([item]);
  }

  async #getAll(names: readonly string[]): Promise<SecretItem[]> {
    const items: SecretItem[] = [];
    for (const name of names) {
      this.#pending.delete(name); // what is read now is newer than that push
      try {
        items.push(await this.#options.secrets.get(name));
      } catch (error) {
        const code = error instanceof AgentError ? error.code : "INTERNAL";
        throw new AgentError(code, `failed to generate secret for ${name}`, { cause: error });
      }
    }
    return items;
  }

  #send(items: readonly SecretItem[]): void {
    if (this.#isClosed) return;
    const response = this.#options.respond(items);
    for (const item of items) this.#sent.set(item.name, item);
    if (this.#subscription !== undefined) this.#subscription = { ...this.#subscription, nonce: response.nonce };
    this.#options.send(response);
  }

  #watch(names: readonly string[]): void {
    for (const [name, unsubscribe] of this.#unsubscribe) {
      if (names.includes(name)) continue;
      unsubscribe();
      this.#unsubscribe.delete(name);
      this.#sent.delete(name);
      this.#pending.delete(name);
    }
    for (const name of names) {
      if (!this.#unsubscribe.has(name)) this.#unsubscribe.set(name, this.#subscribe(name));
    }
  }

  #subscribe(name: string): () => void {
    return this.#options.secrets.subscribe(name, () => {
      this.#pending.add(name);
      this.#wake();
    });
  }

  #fail(status: number, details: string): void {
    if (this.#isClosed) return;
    this.close();
    this.#options.log.warn("SDS stream ends", { status, reason: details });
    this.#options.fail(status, details);
  }
}
